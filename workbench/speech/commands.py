"""The `workbench speech …` commands."""

import dataclasses
import logging
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from workbench.caching.fingerprint import fingerprint
from workbench.errors import OptionsError
from workbench.progress import terminal
from workbench.reply import Reply
from workbench.speech.gather import Gathered, gather as gathered, plan as planned
from workbench.speech.options import GatherOptions
from workbench.speech.state import STATE_NAME
from workbench.streaming.hub import PREFIX, HubSink
from workbench.streaming.sink import FolderSink, Sink
