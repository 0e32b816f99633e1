COMPARED = {
    "report": SWEEP / "report.html",
    "leaderboard": SWEEP / "leaderboard.csv",
    "summary": SWEEP / "summary.txt",
    **{
        f"{plot}_{suffix}": SWEEP / f"{plot}.{suffix}"
        for plot in ("learning_curves", "leaderboard")
        for suffix in ("png", "svg")
    },
}


rule compare:
    input:
        SUMMARIES,
    output:
        **COMPARED,
    log:
        RESULTS / "logs" / "compare" / f"{CONFIG.title}.log",
    threads: 1
    resources:
        mem_mb=1000,
    params:
        arguments=SWEEP_ARGUMENTS,
    message:
        f"Comparing {len(POINTS)} runs"
    shell:
        "nerva compare {params.arguments} > {log:q} 2>&1"
