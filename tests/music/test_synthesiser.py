import io
import subprocess
import sys
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import MusicError
from workbench.music.synthesiser import HATS, OPEN_HATS, PEAK, render_drums, wav_bytes

KIT = (
    35,
    36,
    37,
    38,
    40,
    22,
    42,
    44,
    26,
    46,
    41,
    43,
    58,
    45,
    47,
    48,
    50,
    49,
    52,
    55,
    57,
    51,
    53,
    59,
)
RATE = 22_050

hits_of = st.lists(
    st.tuples(st.floats(0, 3), st.sampled_from(KIT), st.integers(1, 127)), min_size=1, max_size=20
)


def rendered(hits, **settings):
    onset, pitch, velocity = zip(*hits, strict=True)
    return render_drums(onset, pitch, velocity, **settings)


def energy(samples, start, stop):
    return float(np.sum(samples[round(start * RATE) : round(stop * RATE)].astype(float) ** 2))


@settings(max_examples=30, deadline=None)
@given(hits=hits_of)
def test_the_peak_is_one_decibel_below_full_scale_and_nothing_clips(hits):
    samples = rendered(hits)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() == pytest.approx(PEAK, rel=1e-5)
    assert pytest.approx(-1.0) == 20 * np.log10(PEAK)


@settings(max_examples=30, deadline=None)
@given(onset=st.floats(0, 2), pitch=st.sampled_from(KIT), velocity=st.integers(1, 127))
def test_a_drum_sounds_from_its_onset_on_and_not_a_sample_earlier(onset, pitch, velocity):
    samples = render_drums([onset], [pitch], [velocity])
    start = round(onset * RATE)
    assert not samples[:start].any()
    loudest = np.abs(samples).max()
    assert np.abs(samples[start : start + RATE // 100]).max() > 0.5 * loudest


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_the_envelope_rises_where_the_onsets_were_asked(rate):
    generator = np.random.default_rng(1)
    onset = np.cumsum(generator.uniform(0.25, 0.6, 40))
    pitch = generator.choice([36, 38, 42, 37, 40, 44], 40)
    samples = render_drums(onset, pitch, np.full(40, 100), sample_rate=rate)
    window = rate // 500  # 2 ms
    edges = np.diff(samples.astype(float), prepend=0)  # what rings low does not hide an attack
    power = np.add.reduceat(edges**2, np.arange(0, len(samples), window))
    for at in onset:
        frame = int(at * rate) // window
        before, after = power[frame - 3 : frame].mean(), power[frame : frame + 3].max()
        assert after > 10 * before


@pytest.mark.parametrize("pitch", [*KIT, 39, 56, 81])
def test_a_harder_hit_has_more_energy(pitch):
    velocities = [20, 45, 70, 95, 120]
    samples = render_drums(np.arange(5) * 3.0, [pitch] * 5, velocities)
    energies = [energy(samples, at, at + 3) for at in np.arange(5) * 3.0]
    assert energies == sorted(energies)
    assert energies[-1] > 30 * energies[0]


@pytest.mark.parametrize("pitch", [38, 42, 49, 51])
def test_a_harder_hit_is_brighter(pitch):
    def centroid(velocity):
        power = np.abs(np.fft.rfft(render_drums([0], [pitch], [velocity]))) ** 2
        return np.average(np.arange(len(power)), weights=power)

    assert centroid(120) > centroid(40)


@pytest.mark.parametrize("open_hat", OPEN_HATS)
@pytest.mark.parametrize("closing", HATS)
def test_a_closing_hat_chokes_the_open_one(open_hat, closing):
    free = render_drums([0, 0.6], [open_hat, 36], [100, 100])
    choked = render_drums([0, 0.1, 0.6], [open_hat, closing, 36], [100, 1, 100])

    def ring(samples):
        return energy(samples, 0.3, 0.6) / energy(samples, 0, 0.09)

    assert ring(free) > 100 * ring(choked) > 0 or ring(choked) == 0


@pytest.mark.parametrize("other", [36, 38, 49, 51])
def test_other_drums_do_not_choke_the_open_hat(other):
    free = render_drums([0], [46], [127])
    both = render_drums([0, 0.2], [46, other], [127, 1])
    ring_free = energy(free, 0.5, 1.0) / energy(free, 0, 0.2)
    assert energy(both, 0.5, 1.0) / energy(both, 0, 0.2) > 0.9 * ring_free


@settings(max_examples=20, deadline=None)
@given(hits=hits_of, data=st.data())
def test_the_order_of_the_hits_does_not_change_a_sample(hits, data):
    shuffled = data.draw(st.permutations(hits))
    np.testing.assert_array_equal(rendered(hits), rendered(shuffled))


def test_another_process_renders_the_same_bytes():
    hits = [(0.1 * place, pitch, 40 + 3 * place) for place, pitch in enumerate(KIT)]
    script = (
        "import sys; from workbench.music.synthesiser import render_drums, wav_bytes;"
        f"samples = render_drums(*zip(*{hits!r}), seed=3);"
        f"sys.stdout.buffer.write(wav_bytes(samples, {RATE}))"
    )
    other = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout
    assert other == wav_bytes(rendered(hits, seed=3), RATE)
    assert other != wav_bytes(rendered(hits, seed=4), RATE)


def test_the_length_is_the_one_asked_for_whatever_rings():
    assert len(render_drums([0, 5], [49, 36], [100, 100], seconds=1.5)) == round(1.5 * RATE)
    whole = render_drums([0], [49], [100])
    cut = render_drums([0], [49], [100], seconds=0.5)
    np.testing.assert_array_equal(cut[: RATE // 4], whole[: RATE // 4])


def test_no_hits_are_silence():
    assert len(render_drums([], [], [])) == 0
    silence = render_drums([], [], [], seconds=0.5)
    assert len(silence) == round(0.5 * RATE)
    assert not silence.any()


@pytest.mark.parametrize(
    ("hits", "settings", "said"),
    [
        (([-0.1], [36], [100]), {}, "onset_seconds"),
        (([np.nan], [36], [100]), {}, "onset_seconds"),
        (([0], [128], [100]), {}, "pitch"),
        (([0], [36.5], [100]), {}, "pitch"),
        (([0], [36], [0]), {}, "velocity"),
        (([0], [36], [128]), {}, "velocity"),
        (([0, 1], [36], [100]), {}, "shapes"),
        (([0], [36], [100]), {"sample_rate": 100}, "sample_rate 100"),
        (([0], [36], [100]), {"seconds": -1}, "seconds -1"),
    ],
)
def test_what_cannot_be_rendered_is_refused_by_name(hits, settings, said):
    with pytest.raises(MusicError, match=said):
        render_drums(*hits, **settings)


def test_a_wav_file_holds_the_samples_to_16_bits():
    samples = np.concatenate([rendered([(0, 38, 100)]), np.float32([-1, 1, 2, -2])])
    with wave.open(io.BytesIO(wav_bytes(samples, RATE))) as file:
        assert file.getparams()[:4] == (1, 2, RATE, len(samples))
        read = np.frombuffer(file.readframes(len(samples)), "<i2")
    assert np.abs(read / 32_767 - np.clip(samples, -1, 1)).max() <= 0.5 / 32_767 + 1e-7
    with pytest.raises(MusicError):
        wav_bytes([np.nan], RATE)
