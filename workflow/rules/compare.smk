COMPARED = {
    "report": SWEEP_DIR / "report.html",
    "leaderboard": SWEEP_DIR / "leaderboard.csv",
    "leaderboard_md": SWEEP_DIR / "leaderboard.md",
    "leaderboard_tex": SWEEP_DIR / "leaderboard.tex",
    "curves": SWEEP_DIR / "learning_curves.csv",
    "importance": SWEEP_DIR / "importance.csv",
    "summary": SWEEP_DIR / "summary.txt",
    "marker": SWEEP_DIR / f"compared-{PLAN.sweep.id}.txt",
    **{
        f"{plot}_{suffix}": SWEEP_DIR / f"{plot}.{suffix}"
        for plot in ("learning_curves", "leaderboard")
        for suffix in ("png", "svg", "pdf")
    },
}


# The files that `snakemake --report` shows, and the caption of each in workflow/report.
# (Not report.html: browsers refuse to show so large a page inside another.)
IN_REPORT = {
    "summary": "summary",
    "leaderboard_svg": "leaderboard",
    "leaderboard": "table",
    "learning_curves_svg": "learning_curves",
}


rule compare:
    input:
        TRAINED,
        # The report shows what networks answer.
        ancient(DATA),
    output:
        **COMPARED
        | {
            name: report(
                COMPARED[name],
                caption=f"../report/{caption}.rst",
                category="The sweep",
                labels={"": caption.replace("_", " ")},
            )
            for name, caption in IN_REPORT.items()
        },
    log:
        LOGS / "compare" / f"{SWEEP_DIR.name}.log",
    retries: 0
    threads: 1
    resources:
        mem_mb=1000,
    params:
        arguments=SWEEP_ARGUMENTS,
    message:
        f"Comparing {len(PLAN.points)} runs"
    shell:
        # `nerva compare` exits with an error if runs are damaged. The marker is written last: if it exists, the other runs
        # were compared, and the summary names the damaged ones.
        "nerva compare {params.arguments} > {log:q} 2>&1 || [ -e {output.marker:q} ]"
