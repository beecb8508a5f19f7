"""The style sheet of report.html, light and dark."""

SHEET = """
:root { color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b2230; --soft: #5d6879; --line: #e1e5eb; --grid: #edf0f4;
  --a: #1f66d0; --b: #c05a00; --c: #8fa3b8; --reference: #0b8457; --mark: #b3261e;
  --good: #0b7a4b; --warn: #9a5b00; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root {
  --page: #12151b; --card: #1b2028; --ink: #e6eaf0; --soft: #9aa6b6; --line: #2c333f; --grid: #262d38;
  --a: #6ea8ff; --b: #f0a050; --c: #66788c; --reference: #4cc38a; --mark: #ff8a80;
  --good: #4cc38a; --warn: #f0b45a; --bad: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1240px; padding: 28px 24px 48px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
h1 { display: inline; margin: 0; font-size: 26px; font-weight: 650; overflow-wrap: anywhere }
h2 { margin: 0 0 10px; font-size: 16px; font-weight: 650 }
h3 { margin: 0; font-size: 13px; font-weight: 500; color: var(--soft) }
header { margin-bottom: 20px }
header p { margin: 4px 0 0; color: var(--soft) }
header .message { color: var(--ink); white-space: pre-wrap; overflow-wrap: anywhere }
.state { margin-left: 10px; padding: 2px 10px; border-radius: 99px; border: 1px solid currentColor;
  color: var(--soft); font-size: 13px; white-space: nowrap; vertical-align: 4px }
.state.done { color: var(--good) } .state.requeue { color: var(--warn) }
.state.fault, .state.user-error { color: var(--bad) }
.tiles, .charts, .tables { display: grid; gap: 16px; margin-bottom: 16px }
.tiles { grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)) }
.charts, .tables { grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr)) }
.tiles > div, figure, .tables > div, details { margin: 0; padding: 16px 18px; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; min-width: 0 }
.tiles b { font-size: 28px; font-weight: 650; line-height: 1.3; font-variant-numeric: tabular-nums }
.tiles p { margin: 0; font-size: 13px; color: var(--soft) }
figcaption { font-weight: 650 }
.unit { margin-left: 8px; font-weight: 400; font-size: 13px; color: var(--soft) }
.legend { min-height: 22px; font-size: 13px; color: var(--soft) }
.key { margin-right: 16px; white-space: nowrap }
.key::before { content: ""; display: inline-block; width: 18px; margin-right: 6px; vertical-align: 4px;
  border-top: 2.5px solid var(--k) }
.a { --k: var(--a) } .b { --k: var(--b) } .c { --k: var(--c) } .reference { --k: var(--reference) }
.key.reference::before { border-top-style: dashed }
svg { display: block; width: 100%; height: auto; margin-top: 4px }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums }
svg .x { text-anchor: middle } svg .y { text-anchor: end }
svg .grid { stroke: var(--grid) }
svg polyline { fill: none; stroke: var(--k); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
svg polyline.c { stroke-width: 1.4 }
svg circle { fill: var(--k); stroke: var(--card); stroke-width: 1 }
svg line.reference { stroke: var(--k); stroke-width: 1.6; stroke-dasharray: 6 4 }
svg .mark { stroke: var(--mark); stroke-width: 1.2; stroke-dasharray: 2 3 }
table { width: 100%; border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums }
th, td { padding: 5px 8px 5px 0; text-align: left; vertical-align: top; border-top: 1px solid var(--line) }
tr:first-child > * { border-top: 0 }
th { font-weight: 400; color: var(--soft); white-space: nowrap }
td { overflow-wrap: anywhere }
.figures td, .figures tr:first-child th + th { text-align: right }
.note, .none { margin: 10px 0 0; font-size: 13px; color: var(--soft) }
summary { cursor: pointer; font-weight: 650 }
pre { margin: 12px 0 0; overflow-x: auto; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace }
"""
