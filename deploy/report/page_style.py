"""The style sheet of a page, charts apart."""

from __future__ import annotations

from gradwire.deploy.report.palette import FONT, style_sheet

NARROW = 600  # px of the window below which the narrow rendition of a chart is shown

_PAGE = f"""\
:root {{ color-scheme: light dark; --ink: #1b2127; --muted: #59626d; --line: #dfe3e8; --paper: #ffffff;
  --soft: #f5f7f9; --link: #1f5fb4; }}
@media screen and (prefers-color-scheme: dark) {{
  :root {{ --ink: #e8ebee; --muted: #a3adb8; --line: #2c333b; --paper: #14181d; --soft: #1b2127; --link: #8bb8f5; }}
}}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-padding-top: 1rem; }}
body {{ margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 {FONT}; overflow-wrap: break-word; }}
a {{ color: var(--link); text-underline-offset: 0.15em; }}
a:focus-visible, summary:focus-visible, .scroll:focus-visible {{
  outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }}
.skip {{ position: absolute; left: -999rem; }}
.skip:focus {{ left: 1rem; top: 0.5rem; padding: 0.5rem 1rem; background: var(--paper); z-index: 1; }}
.frame {{ max-width: 76rem; margin: 0 auto; padding: 0 1rem 4rem; }}
header {{ padding: 3rem 0 1.5rem; border-bottom: 1px solid var(--line); }}
h1 {{ margin: 0; font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.2; letter-spacing: -0.015em; }}
.about {{ margin: 0.75rem 0 0; max-width: 46rem; color: var(--muted); font-size: 1.05rem; }}
nav {{ padding: 1rem 0; font-size: 0.9rem; }}
nav ul {{ display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; margin: 0; padding: 0; list-style: none; }}
nav a {{ display: inline-block; padding: 0.3rem 0; color: var(--muted); text-decoration: none; }}
nav a:hover {{ color: var(--link); text-decoration: underline; }}
h2 {{ margin: 3rem 0 1rem; font-size: 1.4rem; line-height: 1.25; letter-spacing: -0.01em; }}
h3 {{ margin: 2.25rem 0 0.75rem; font-size: 1.1rem; }}
article > h2 {{ font-size: 1.7rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }}
p {{ max-width: 46rem; margin: 0.75rem 0; }}
code {{ font: 0.92em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }}
.highlights {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 9.5rem), 1fr)); gap: 0.75rem;
  margin: 1.25rem 0; }}
.highlights > div {{ padding: 0.9rem 1rem; background: var(--soft); border-radius: 10px; min-width: 0; }}
.highlights dt {{ color: var(--muted); font-size: 0.85rem; }}
.highlights dd {{ margin: 0; }}
.highlights .value {{ font-size: 1.45rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }}
.highlights .note {{ color: var(--muted); font-size: 0.8rem; line-height: 1.35; overflow-wrap: anywhere; }}
.charts {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 2.25rem 2.5rem;
  margin: 1.25rem 0 2rem; }}
figure {{ margin: 0; min-width: 0; }}
.charts figure {{ max-width: 42rem; }}
figcaption {{ margin-bottom: 0.6rem; font-weight: 600; line-height: 1.35; }}
.note {{ margin: 0.4rem 0 0; color: var(--muted); font-size: 0.875rem; font-weight: 400; }}
.chart {{ display: block; width: 100%; height: auto; }}
.chart.narrow {{ display: none; }}
@media screen and (max-width: {NARROW}px) {{
  .chart.wide {{ display: none; }}
  .chart.narrow {{ display: block; }}
}}
details {{ margin-top: 0.5rem; font-size: 0.9rem; }}
summary {{ display: inline-block; padding: 0.35rem 0; color: var(--link); cursor: pointer; }}
summary::before {{ content: "▸ "; }}
details[open] > summary::before {{ content: "▾ "; }}
.scroll {{ overflow-x: auto; max-width: 100%; }}
details .scroll {{ max-height: 24rem; overflow-y: auto; }}
.tabular {{ margin: 1.25rem 0 2rem; }}
table {{ min-width: min(100%, 24rem); border-collapse: collapse; font-size: 0.9rem;
  line-height: 1.4; font-variant-numeric: tabular-nums; }}
caption {{ padding-bottom: 0.5rem; text-align: left; font-size: 1rem; font-weight: 600; }}
details caption {{ position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }}
th, td {{ padding: 0.42rem 1.25rem 0.42rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }}
thead th {{ color: var(--muted); font-weight: 600; vertical-align: bottom; max-width: 12rem; }}
details thead th {{ position: sticky; top: 0; background: var(--paper); }}
tbody th {{ font-weight: 400; }}
tbody th, td {{ max-width: 30rem; }}
.number {{ text-align: right; white-space: nowrap; }}
thead .number {{ white-space: normal; }}
tr > :last-child {{ padding-right: 0.25rem; }}
footer {{ margin-top: 4rem; padding-top: 1.25rem; border-top: 1px solid var(--line); color: var(--muted);
  font-size: 0.85rem; }}
.facts {{ display: grid; grid-template-columns: minmax(5rem, max-content) 1fr; gap: 0.25rem 1.25rem; margin: 0; }}
.facts dt {{ color: var(--muted); }}
.facts dd {{ margin: 0; min-width: 0; overflow-wrap: anywhere; }}
@media screen and (min-width: 72rem) {{
  .columns {{ display: grid; grid-template-columns: minmax(0, 1fr) 12rem; gap: 0 3.5rem; }}
  .columns nav {{ order: 2; padding-top: 3.2rem; }}
  .columns nav ul {{ position: sticky; top: 1.5rem; flex-direction: column; flex-wrap: nowrap; gap: 0.1rem;
    padding-left: 1rem; border-left: 1px solid var(--line); max-height: 94vh; overflow-y: auto; }}
}}
@media print {{
  @page {{ margin: 16mm; }}
  body {{ font-size: 10.5pt; }}
  .frame {{ padding: 0; }}
  nav, .skip, details {{ display: none; }}
  header {{ padding-top: 0; }}
  h2, h3 {{ break-after: avoid; }}
  figure, tr, .highlights {{ break-inside: avoid; }}
  .scroll {{ overflow: visible; }}
  table {{ min-width: 0; font-size: 8.5pt; }}
  th, td {{ padding-right: 0.6rem; overflow-wrap: anywhere; }}
  .number {{ white-space: normal; }}
  .charts {{ grid-template-columns: 1fr 1fr; gap: 1.5rem; }}
  .highlights > div {{ border: 1px solid var(--line); }}
  a {{ color: inherit; text-decoration: none; }}
}}
"""


def page_style() -> str:
    """The whole style sheet of a page."""
    return _PAGE + style_sheet()
