# Prepare the data, train one run for each point of a sweep, log the runs to MLflow, and compare them.
#
#   snakemake --cores 4
#   snakemake --cores 4 --config experiment=flagship data=mnist overrides="train.epochs=2 model=small"
#   snakemake --cores 4 replay
#   snakemake --cores 4 search --config search="learning_rate.lr=interval(0.001,1) optimizer=momentum,nesterov" trials=40
#
# `experiment` names a file in conf/experiment, and `data` one in conf/data. `overrides` are Hydra's, separated by spaces.
from snakemake.utils import min_version

min_version("9.9")


include: "workflow/rules/common.smk"
include: "workflow/rules/unlock.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/track.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/replay.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/progress.smk"


# A cluster gets the jobs that train and replay. The others take seconds, or need the network.
localrules:
    all,
    prepare,
    store,
    track,
    compare,
    replay,
    search,


rule all:
    default_target: True
    input:
        TRAINED,
        STORE,
        TRACKED,
        *COMPARED.values(),
    message:
        f"The results are complete: {SWEEP_DIR}/"
