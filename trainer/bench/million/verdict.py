"""What the measurement says: peak memory by phase and size, losses before and after kills, and whether both are as they should be."""

from typing import Any

LIMIT_MB = 200.0  # between the sizes, of each phase
# Of a loss on other numbers of ranks, relative to that of the run that was not interrupted: at the first step after a resume,
# and at any. Sums in another order move bfloat16 products by a rounding, which training makes larger.
AT_RESUME, ANYWHERE = 2e-3, 2e-2

# By size: {"peaks": {phase: MB}, "seconds": {phase: s}, "losses": {leg: {step: loss}}, "ranks": {leg: {side: figures}}}
Results = dict[str, Any]


def judge(results: Results, failures: list[str]) -> tuple[str, bool]:
    """A report in Markdown, and whether all is as it should be."""
    sizes = sorted(results, key=int)
    phases = list(results[sizes[-1]]["peaks"])
    lines = [f"| peak RSS of all processes, MB | {' | '.join(f'{int(size):,} pairs' for size in sizes)} | difference |"]
    lines.append("| --- |" + " ---: |" * (len(sizes) + 1))
    worst = 0.0
    for phase in phases:
        peaks = [results[size]["peaks"].get(phase) for size in sizes]
        known = [peak for peak in peaks if peak is not None]
        difference = known[-1] - known[0] if len(known) > 1 else 0.0
        worst = max(worst, difference)
        cells = " | ".join("" if peak is None else f"{peak:.0f}" for peak in peaks)
        lines.append(f"| {phase} | {cells} | {difference:+.0f} |")
    tops = [max(results[size]["peaks"].values()) for size in sizes]
    lines.append(f"| **highest** | {' | '.join(f'{top:.0f}' for top in tops)} | {tops[-1] - tops[0]:+.0f} |")
    verdicts = [*failures]
    if worst > LIMIT_MB:
        verdicts.append(f"a phase takes {worst:.0f} MB more at {int(sizes[-1]):,} pairs: the limit is {LIMIT_MB:.0f}")
    for size in sizes:
        if losses := results[size]["losses"]:
            said, problem = of_losses(losses)
            lines.append(f"\n{int(size):,} pairs, losses of resumed runs against one that was not interrupted: {said}.")
            verdicts += [f"{int(size):,} pairs: {problem}"] if problem else []
        if ranks := results[size]["ranks"]:
            said, problem = of_ranks(ranks)
            lines.append(f"\n{int(size):,} vectors: {said}.")
            verdicts += [f"{int(size):,} vectors: {problem}"] if problem else []
        seconds = sum(results[size]["seconds"].values())
        lines.append(f"{seconds / 60:.1f} minutes.")
    good = not verdicts
    lines.append(
        f"\n**Done**: largest difference of a phase {worst:+.0f} MB (limit {LIMIT_MB:.0f})."
        if good
        else "\n**Not as it should be**: " + "; ".join(verdicts)
    )
    return "\n".join(lines), good


def of_ranks(ranks: dict[str, dict[str, dict[str, Any]]]) -> tuple[str, str | None]:
    """(recalls, what is wrong): one process and several have to find the same ranks of everything that is asked."""
    first, *others = ranks.values()
    figures = "; ".join(
        f"{each['sampled_pictures']:,} pictures and {each['sampled_texts']:,} texts among all {what}, text to image R@10 "
        f"{each['text_to_image_R@10']:.4f}, image to text R@10 {each['image_to_text_R@10']:.4f}"
        for what, each in first.items()
    )
    if any(other != first for other in others):
        return figures, f"the ranks of {' and '.join(ranks)} are not equal"
    equal = f", every rank equal in {' and '.join(ranks)}" if others else ""
    return f"{figures}{equal}; a small set's figures are those of the whole matrix", None


def of_losses(losses: dict[str, dict[str, float]]) -> tuple[str, str | None]:
    """(what is found, what is wrong with it): every leg's losses against those of the straight run at the same steps."""
    straight = losses.get("straight", {})
    said, problem = [], None
    for leg, found in losses.items():
        if leg == "straight" or not found:
            continue
        apart = {int(step): abs(loss / straight[step] - 1) for step, loss in found.items() if step in straight}
        first, most = apart[min(apart)], max(apart.values())
        said.append(f"{leg} steps {min(apart)} to {max(apart)}: {first:.1e} at the first, {most:.1e} at most")
        if first > AT_RESUME or most > ANYWHERE:
            problem = f"{leg} is off by {first:.1e} at its first step, {most:.1e} at most"
    return "; ".join(said) or "none", problem if said else "no losses were seen"
