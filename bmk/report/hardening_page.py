"""A report as one page: self-contained, without script, in light and dark. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from bmk.hardening.assess import STATES, ControlResult, HardeningReport

_WORDS = {"fail": "fails", "unknown": "unknown", "waived": "waived", "na": "not applicable", "pass": "holds"}
_SIGNS = {"fail": "✗", "unknown": "?", "waived": "~", "na": "-", "pass": "✓"}
_KINDS = {
    "unproven": "Machines that install without a proof of which one they are",
    "would-be-denied": "Would be denied: tell their owners before deny is switched on",
    "namespace": "Namespaces that do not deny",
    "exempt": "Exempt namespaces",
    "static-pod": "Static pods with group 0: admission never sees them",
    "node": "Nodes without Strict",
}
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --paper: #fff; --line: #d5dae0; --band: #f4f6f8;
  --fail: #b3161b; --unknown: #7d4e00; --waived: #6b3fa0; --na: #59636e; --pass: #14692f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #a3adb8; --paper: #14171b; --line: #333a42;
  --band: #1d2126; --fail: #ff8a85; --unknown: #f0b35a; --waived: #c9a6ff; --na: #a3adb8; --pass: #6fd48d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 4rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; color: var(--soft); }
ul.sum { display: flex; flex-wrap: wrap; gap: .5rem; list-style: none; padding: 0; margin: 1rem 0; }
ul.sum li { border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .9rem; min-width: 7rem; }
ul.sum b { display: block; font-size: 1.5rem; line-height: 1.2; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; }
summary { cursor: pointer; padding: .5rem .9rem; font-weight: 600; }
summary:focus-visible { outline: 3px solid var(--waived); }
.wrap { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem; border-top: 1px solid var(--line); }
thead th { background: var(--band); font-weight: 600; } td.seen { overflow-wrap: anywhere; min-width: 18rem; }
code { font: .88em ui-monospace, monospace; } .state { font-weight: 600; white-space: nowrap; }
.fail { color: var(--fail); } .unknown { color: var(--unknown); } .waived { color: var(--waived); }
.na { color: var(--na); } .pass { color: var(--pass); } .title { display: block; color: var(--soft); }
"""


def page(report: HardeningReport) -> str:
    """The whole document."""
    return "\n".join(_document(report))


def _document(report: HardeningReport) -> Iterator[str]:
    title = f"Hardening of {report.dc}"
    yield f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>"
    yield f"<h1>{escape(title)}</h1>"
    yield f"<p>Seen {escape(report.at)}, by <code>bmk hardening {escape(report.dc)}</code>.</p>"
    yield from _summary(report)
    yield from _silent(report)
    yield from _findings(report)
    yield from _exceptions(report)
    yield from _places(report)
    yield "</main>\n</body>\n</html>"


def _summary(report: HardeningReport) -> Iterator[str]:
    yield '<ul class="sum" aria-label="Summary">'
    for state in STATES:
        yield f'<li><b class="{state}">{report.counts[state]}</b>{_SIGNS[state]} {_WORDS[state]}</li>'
    yield f"<li><b>{len(report.exceptions)}</b>exceptions</li>\n</ul>"


def _silent(report: HardeningReport) -> Iterator[str]:
    if report.silent:
        yield "<h2>Not asked</h2>\n<ul>"
        yield from (f"<li><b>{escape(s.name)}</b>: {escape(s.why)}</li>" for s in report.silent)
        yield "</ul>"


def _findings(report: HardeningReport) -> Iterator[str]:
    found = [r for state in ("fail", "waived") for r in report.results if r.state == state]
    yield "<h2>What is not as it should be</h2>"
    if not found:
        yield "<p>Nothing fails and nothing is waived.</p>"
        return
    yield from _table(found, where=True)


def _exceptions(report: HardeningReport) -> Iterator[str]:
    yield "<h2>Exceptions, counted</h2>"
    if not report.exceptions:
        yield "<p>None.</p>"
    for kind, words in _KINDS.items():
        mine = [e for e in report.exceptions if e.kind == kind]
        if mine:
            yield f"<details open><summary>{escape(words)} ({len(mine)})</summary>\n<div class=wrap tabindex=0><table>"
            yield _head(("Cluster", "What", "Why"))
            for one in mine:
                cells = (escape(one.cluster), f"<code>{escape(one.what)}</code>", escape(one.detail))
                yield f"<tr><td>{cells[0]}</td><td>{cells[1]}</td><td class=seen>{cells[2]}</td></tr>"
            yield "</tbody></table></div></details>"


def _places(report: HardeningReport) -> Iterator[str]:
    yield "<h2>Every control, with what was seen</h2>"
    for where, group in groupby(report.results, key=lambda r: r.where):
        results = sorted(group, key=lambda r: STATES.index(r.state))
        bad = sum(r.state in ("fail", "unknown") for r in results)
        text = (
            f"{bad} of {len(results)} controls do not hold"
            if bad
            else f"all {len(results)} controls hold or are accounted for"
        )
        yield f"<details{' open' if bad else ''}><summary>{escape(where)}: {text}</summary>"
        yield from _table(results, where=False)
        yield "</details>"


def _table(results: Sequence[ControlResult], *, where: bool) -> Iterator[str]:
    head = (["Where"] if where else []) + ["State", "Severity", "Control", "Seen", "CIS"]
    yield (
        "<div class=wrap tabindex=0><table>\n<thead><tr>"
        + "".join(f'<th scope="col">{h}</th>' for h in head)
        + "</tr></thead><tbody>"
    )
    for result in results:
        yield _line(result, where)
    yield "</tbody></table></div>"


def _head(names: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f"<thead><tr>{cells}</tr></thead><tbody>"


def _line(r: ControlResult, where: bool) -> str:
    until = f" until {r.until}" if r.until else ""
    seen = escape(r.seen) + (f"<br>Waived{escape(until)}: {escape(r.reason)}" if r.reason else "")
    cells = [
        f'<td class="state {r.state}">{_SIGNS[r.state]} {_WORDS[r.state]}</td>',
        f"<td>{r.severity}</td>",
        f'<td><code>{escape(r.control)}</code> <span class="title">{escape(r.title)}</span></td>',
        f"<td class=seen>{seen}</td>",
        f"<td>{', '.join(r.cis) or '-'}</td>",
    ]
    return "<tr>" + (f"<td>{escape(r.where)}</td>" if where else "") + "".join(cells) + "</tr>"
