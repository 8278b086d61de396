"""Speech-recognition models of a few kilobytes with random weights, as transformers saves them."""

import json
from pathlib import Path

import torch
import transformers

# As in the real vocabulary: texts first, then these, and what is behind the last is a timestamp.
_SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|th|>"]
_SPECIAL += ["<|translate|>", "<|transcribe|>", "<|notimestamps|>"]


def save_ctc_model(folder: Path) -> None:
    """Save a Wav2Vec2 model."""
    torch.manual_seed(0)
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghij"]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: at for at, token in enumerate(tokens)}))
    transformers.Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    config = transformers.Wav2Vec2Config(
        vocab_size=len(tokens),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)


def save_whisper_model(folder: Path) -> None:
    """Save a Whisper model."""
    torch.manual_seed(0)
    number = {token: at for at, token in enumerate([*"abcdefghijklmnop", *_SPECIAL])}
    end, start = number["<|endoftext|>"], number["<|startoftranscript|>"]
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps(number))
    merges.write_text("#version: 0.2\n")
    tokenizer = transformers.WhisperTokenizer(str(vocabulary), str(merges))
    tokenizer.add_tokens(_SPECIAL[1:], special_tokens=True)
    tokenizer.save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=8).save_pretrained(folder)
    config = transformers.WhisperConfig(
        vocab_size=len(number),
        num_mel_bins=8,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_target_positions=20,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    network = transformers.WhisperForConditionalGeneration(config)
    network.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=start,
        eos_token_id=end,
        pad_token_id=end,
        bos_token_id=end,
        is_multilingual=True,
        lang_to_id={token: number[token] for token in ("<|en|>", "<|th|>")},
        task_to_id={task: number[f"<|{task}|>"] for task in ("translate", "transcribe")},
        no_timestamps_token_id=number["<|notimestamps|>"],
        max_length=12,
    )
    network.save_pretrained(folder)
