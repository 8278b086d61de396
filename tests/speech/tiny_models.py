"""Speech-recognition models of a few kilobytes with random weights, as transformers saves them."""

import json
from pathlib import Path

import torch
import transformers

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
    tokens = [*_SPECIAL, *"abcdefghijklmnop"]
    number = {token: at for at, token in enumerate(tokens)}
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps(number))
    merges.write_text("#version: 0.2\n")
    tokenizer = transformers.WhisperTokenizer(str(vocabulary), str(merges))
    tokenizer.add_tokens(_SPECIAL[1:], special_tokens=True)
    tokenizer.save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=8).save_pretrained(folder)
    config = transformers.WhisperConfig(
        vocab_size=len(tokens),
        num_mel_bins=8,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_target_positions=20,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=1,
        suppress_tokens=[number[token] for token in _SPECIAL],
        begin_suppress_tokens=None,
    )
    network = transformers.WhisperForConditionalGeneration(config)
    network.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=1,
        eos_token_id=0,
        pad_token_id=0,
        bos_token_id=0,
        is_multilingual=True,
        lang_to_id={"<|en|>": 2, "<|th|>": 3},
        task_to_id={"translate": 4, "transcribe": 5},
        no_timestamps_token_id=6,
        suppress_tokens=[number[token] for token in _SPECIAL],
        max_length=12,
    )
    network.save_pretrained(folder)
