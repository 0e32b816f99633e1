# `snakemake replay`: is it true? Trains runs again from what was recorded, and compares. Not a part of `all`.
import random


rule replay_run:
    input:
        *RUN.evidence,
        RUN.summary,
        DATA,
    output:
        RESULTS / "logs" / "replay" / "{run}.txt",
    log:
        RESULTS / "logs" / "replay" / "{run}.log",
    threads: 1
    resources:
        mem_mb=1500,
    params:
        arguments=lambda wildcards: shlex.join([str(RUN.path).format(run=wildcards.run), f"results_dir={RESULTS}"]),
    message:
        "Replaying run {wildcards.run}"
    shell:
        "nerva replay {params.arguments} 2>&1 | tee {log:q} > {output:q}"


rule replay:
    input:
        lambda wildcards: [
            RESULTS / "logs" / "replay" / f"{run}.txt"
            for run in random.sample(list(POINTS), min(config["sample"] or len(POINTS), len(POINTS)))
        ],
    log:
        RESULTS / "logs" / "replay" / f"{CONFIG.title}.log",
    threads: 1
    resources:
        mem_mb=100,
    message:
        "Every replayed run is identical"
    shell:
        # A verdict holds for the moment: the next call asks anew.
        "cat {input:q} | tee {log:q} && rm {input:q}"
