"""The command line: one line a subcommand, flags derived from the rooms' Options."""

import io
import logging
import sys
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from workbench import __version__
from workbench.errors import WorkbenchError
from workbench.reply import Reply

_INTERRUPTED = 130
_USAGE = 2

app = cyclopts.App(
    name="workbench",
    version=__version__,
    help="A research workbench for rhythm and sound. Every command takes --json.",
    suppress_keyboard_interrupt=False,  # `run` tells what an interruption leaves
)
app.meta.suppress_keyboard_interrupt = False
groove = cyclopts.App(name="groove", help="Train drum-groove models, draw new grooves from them.")
_GROOVE = {
    "train": "Count a corpus of MIDI files into a groove model.",
    "merge": "Merge the shards of one corpus into the model of a single run.",
    "tokenize": "Write a corpus as Parquet shards of windows, from which a network learns.",
    "learn": "Learn a network that predicts steps, and put it beside a counted model.",
    "blend": "Weigh the network and the mixture of a model, on the pieces held out.",
    "info": "Tell what a model was made of and what it holds.",
    "score": "Tell how well a model predicts performances it has not seen.",
    "sample": "Draw new bars from a model into a MIDI file.",
    "extract": "Take timing and dynamics from a performance.",
    "apply": "Put a feel on a performance.",
}
for _name, _help in _GROOVE.items():
    groove.command(f"workbench.groove.commands:{_name}", name=_name, help=_help)
nb = cyclopts.App(name="nb", help="Keep notebooks clean.")
nb.command("workbench.runs.commands:lint", name="lint", help="Find what makes notebooks rot.")
nb.command(
    "workbench.runs.commands:refresh", name="refresh", help="Execute notebooks, keep their outputs."
)
demo = cyclopts.App(name="demo", help="Make small data to try everything on.")
demo.command(
    "workbench.demo.commands:drums", name="drums", help="Make a corpus of drum MIDI files."
)
demo.command("workbench.demo.commands:speech", name="speech", help="Make a corpus of speech.")
demo.command("workbench.demo.commands:songs", name="songs", help="Make songs with Beat Saber maps.")
app.command("workbench.runs.commands:run", name="run", help="Run notebooks by a params file.")
app.command(nb)
runs = cyclopts.App(name="runs", help="See, compare and clear away what was run.")
_RUNS = {
    "ls": "List runs: how they ended, and where their parameters and results differ.",
    "show": "Tell all about one run.",
    "compare": "Tell what differs from one run to another.",
    "clean": "Delete failed runs, parts, or old runs.",
}
for _name, _help in _RUNS.items():
    runs.command(f"workbench.runs.index_commands:{_name}", name=_name, help=_help)
app.command(runs)
app.command(demo)
app.command(groove)
speech = cyclopts.App(name="speech", help="Gather speech into one published dataset.")
speech.command(
    "workbench.speech.commands:gather",
    name="gather",
    help="Gather speech from several sources into one dataset, every row exactly once.",
)
app.command(speech)
beatmap = cyclopts.App(name="beatmap", help="Read Beat Saber maps, make them ready to learn from.")
_BEATMAP = {
    "commands:process": "Read folders and zips of maps into a store, from which training reads.",
    "commands:cache": "Compute the features of a store's songs, each once.",
    "model_commands:train": "Train a writer of maps on a store.",
    "model_commands:generate": "Write a map for a song.",
    "judge_command:judge": "Judge a writer by charts that it did not learn from.",
    "evaluate_command:evaluate": "Judge maps by those that people made of the same songs.",
    "check_command:check": "Tell what is wrong with maps before anybody gets them.",
    "source_commands:download": "Bring maps of the map service into a folder, and go on there.",
    "source_commands:extract": "Turn the game's own levels into map folders.",
    "source_commands:charts": "Turn charted songs into map folders.",
}
for _name, _help in _BEATMAP.items():
    beatmap.command(f"workbench.beatmap.{_name}", name=_name.partition(":")[2], help=_help)
app.command(beatmap)
pico = cyclopts.App(name="pico", help="Play MIDI files of any length on the melodica robot.")
_PICO = {
    "commands:plan": "Tell what the robot can play of a MIDI file.",
    "commands:play": "Play a MIDI file on the robot, or on a simulated one.",
    "board_commands:status": "Tell how the robot's board is.",
    "board_commands:stop": "Stop the robot at once.",
    "deploy_command:deploy": "Bring the program to the robot's board.",
    "board_commands:simulate": "Serve a simulated board on a socket.",
    "board_commands:ports": "List the serial ports, and whether they may be used.",
}
for _name, _help in _PICO.items():
    pico.command(f"workbench.playback.{_name}", name=_name.partition(":")[2], help=_help)
app.command(pico)
shards = cyclopts.App(name="shards", help="Shards that come as they are needed.")
shards.command(
    "workbench.learning.commands:pull",
    name="pull",
    help="Go through a Parquet dataset as a training would, and tell how its shards came.",
)
app.command(shards)
app.command(
    "workbench.doctor:doctor", name="doctor", help="Tell what is set up here, and what is missing."
)


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Run one command and print its reply.

    Args:
        tokens: The command and its flags.
        json: Print the result as JSON.
    """
    reply = app(tokens, exit_on_error=False, result_action="return_value")
    if isinstance(reply, Reply):
        print(reply.rendered(as_json=json))  # noqa: T201 the one place that prints results
        return reply.code
    return 0


def main() -> None:
    """Run the command line of this process."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    sys.exit(run(sys.argv[1:]))


def run(tokens: list[str]) -> int:
    """Return the exit code of a command line; errors are told in one line on standard error."""
    try:
        return int(app.meta(tokens, exit_on_error=False, result_action="return_value") or 0)
    except WorkbenchError as error:
        sys.stderr.write(f"workbench: {error}\n")
        return error.exit_code
    except cyclopts.CycloptsError:
        return _USAGE  # cyclopts has told what is wrong
    except KeyboardInterrupt:
        sys.stderr.write("workbench: stopped; the same command goes on where it was\n")
        return _INTERRUPTED
    except OSError as error:
        sys.stderr.write(f"workbench: {error}\n")
        return 1
