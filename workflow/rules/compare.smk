COMPARED = {
    "report": SWEEP / "report.html",
    "leaderboard": SWEEP / "leaderboard.csv",
    "summary": SWEEP / "summary.txt",
    "compared": SWEEP / f"compared-{THIS.id}.txt",
    **{
        f"{plot}_{suffix}": SWEEP / f"{plot}.{suffix}"
        for plot in ("learning_curves", "leaderboard")
        for suffix in ("png", "svg")
    },
}


# What of these `snakemake --report` shows, and the file in workflow/report that says what it is.
# (Not the sweep's own: browsers refuse to show so large a page in another.)
SHOWN = {
    "summary": "summary",
    "leaderboard_svg": "leaderboard",
    "leaderboard": "table",
    "learning_curves_svg": "learning_curves",
}


rule compare:
    input:
        SUMMARIES,
    output:
        **COMPARED
        | {
            name: report(
                COMPARED[name],
                caption=f"../report/{caption}.rst",
                category="The sweep",
                labels={"": caption.replace("_", " ")},
            )
            for name, caption in SHOWN.items()
        },
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
