"""The distribution of the command-line tools: datanommer-commands."""

import runpy
import sys
from pathlib import Path

# When pip builds, Python does not look for modules in this folder.
sys.path.insert(0, str(Path(__file__).parent))

from distribution import VERSION, setup

# Read as a file: a build needs nothing of datanommer to be installed.
LIST = Path(__file__).with_name("datanommer") / "commands" / "command_list.py"
COMMANDS = runpy.run_path(str(LIST))["COMMANDS"]

setup(
    name="datanommer.commands",
    description="Tools for the shell around the archive of a fedmsg bus",
    # Manual pages, and completion for shells, where man and the shells look for them:
    # packaging/make-share.py writes them.
    data_files=[
        (str(folder), sorted(str(path) for path in folder.iterdir() if path.is_file()))
        for folder in sorted(Path("share").rglob("*"))
        if folder.is_dir()
    ],
    install_requires=[
        f"datanommer.models=={VERSION}",
        # 8.2.1: the first that completes the options of sub-commands.
        "click>=8.2.1",
        "rich>=13",
    ],
    extras_require={
        # For datanommer-report: the charts, and the page around them.
        "report": ["pygal>=3", "Jinja2>=3.1"],
    },
    entry_points={
        "console_scripts": [
            "datanommer = datanommer.commands.script:cli",
            *(
                f"datanommer-{name} = datanommer.commands.script:{name.replace('-', '_')}"
                for name in COMMANDS
            ),
        ]
    },
)
