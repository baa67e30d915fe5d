"""The container's side of SageMaker training: `embedrun sagemaker-train`, which the image's `train` runs.

It keeps SageMaker's contract without its training toolkit. What whoever creates the job can rely on, all paths below
`/opt/ml` (`--prefix`, `$SM_PREFIX`):

**Hyperparameters** (texts; JSON quotes around them are taken off)
    recipe          a file of the channel `recipe`, CHANNEL/FILE, or a shipped recipe's name. Without it, the channel's
                    `recipe.lock.json`, or the only recipe in it.
    until           stop after this stage, as `--until`.
    device          what to use, as `--device`.
    offline         "true" downloads nothing, for jobs with network isolation.
    nproc_per_node  training processes on each instance; by default one for each GPU, on a CPU one.
    sagemaker_…     ignored.
    any other       a change of the recipe: `trainer.epochs` = "2" is `--set trainer.epochs=2`, its value YAML.

**Channels** (File or FastFile mode, each complete on every instance; none is needed for a shipped recipe)
    recipe          a recipe and what it names by relative paths; or `recipe.lock.json` with the folder `plugins` that
                    its `plugins` name; and if `run.json` (and `recipe.yaml`) is there, the run that a client began,
                    which is gone on with as by `embedrun run --record`.
    inputs          `inputs.json`, which maps absolute paths of the client's machine to paths within this channel, and
                    the files and folders at the latter. In a lock, every text that equals such a path, or is a path
                    below it where it is a folder, becomes the path in the channel; no other text changes. And
                    `models.json`, if hub models come along: [{"id", "path" within this channel, "sha256"}].
    store           entries of the client's store that need not be made again, as they lie there (`ab/abcd…/out`,
                    `ab/abcd…/manifest.json`), and `answers`.
    any other       is there for `CHANNEL/FILE` and for values such as `source.path` = "/opt/ml/input/data/train/a.csv".

**What it leaves**
    model           the last model that was trained or merged, exported: it loads in `embedrun serve /opt/ml/model`, in
                    the Hugging Face container and in TEI. Nothing where the run failed or made no model.
    output/data     `run`, the run's folder, and `store`, every result that the channel `store` did not bring, answers
                    included; unpacked side by side, `embedrun show run` and `embedrun serve run` work. A client copies
                    `store` into its own. Written after a failure, too; `run.json` tells what failed.
    output/failure  why it failed, in at most 1,024 characters.
    checkpoints     `store`, where everything is made, with training's own checkpoints in `store/tmp/KEY/state`. A job
                    that starts with it goes on: stages that were done are hits, training goes on to the same weights.
    exit code       0 done; 1 failed; 143 stopped by SIGTERM, which lets training end with a checkpoint first.
    standard output metrics, see `metrics`: METRICS holds their definitions for CreateTrainingJob.

Deployers never run here, and the recipe's `runtime` is left aside.

**Several instances.** The first in order of name does everything but train alone: it lays the training's folder down
(set, model, options, last checkpoint, the bytes that it works with itself), the others fetch it over HTTP between the
containers, and all join one torchrun over NCCL, or gloo on a CPU. So no stage runs twice, nothing that floats can
differ, and what comes out depends on `trainer.processes` alone, be they on one machine or on several. That is set to
instances times `nproc_per_node`; a client that plans the same number gets a result under the key that it expects. The
others end with the first one's exit code. Ports 7777 and 7778 (`--port`) must be open between the instances.
"""
