"""The commands, each imported when it is chosen."""

from __future__ import annotations

from embedrun import Command

COMMANDS = tuple(
    Command.of_module(name, summary, f"{__name__}.{name.replace('-', '_')}")
    for name, summary in {
        "run": "Run a recipe.",
        "plan": "Show what a recipe would run, and what it would reuse.",
        "sweep": "Find a recipe's best settings on dev, within a budget.",
        "check": "Check a recipe without running it.",
        "show": "Show a run: its stages, its scores, its model, what it trains on.",
        "runs": "List the runs of a folder, with their scores.",
        "compare": "Compare the models of two runs.",
        "curve": "Run a recipe on growing shares of its training data: what would more data bring?",
        "reproduce": "Run a run's lock again in an empty store, and compare the results.",
        "serve": "Serve a model over HTTP on this machine.",
        "verify": "Verify that what a run deployed answers with its model's vectors.",
        "bench": "Measure an endpoint's latency and throughput under load.",
        "resources": "List what runs deployed to the cloud, with its price an hour.",
        "delete": "Delete what a run, or all runs of a recipe, deployed.",
        "gc": "Delete results that no run refers to; to release a run's, remove its folder.",
        "recipes": "List the shipped recipes, or copy one here to change it.",
        "init": "Write a recipe to start from.",
        "image": "Build or describe the container image.",
        "plugins": "List the installed stages, or show one with its keys.",
        "skill": "Print what a coding agent should know of embedrun, or write it where agents look.",
        "schema": "Print the JSON Schema of recipes, with every installed stage.",
        "sagemaker-train": "Train as SageMaker's training container does.",
    }.items()
)
"""In the order of the command line's help."""
