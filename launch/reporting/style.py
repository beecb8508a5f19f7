"""The style sheet of report.html, light and dark."""

SHEET = """
:root { color-scheme: light dark;
  --page: #ffffff; --ink: #1c2128; --soft: #616b78; --line: #e3e6ea; --grid: #eceff2; --base: #c3c9d1;
  --s0: #1f6fd0; --s1: #c8571a; --s2: #12876a; --s3: #8a4fc4; --s4: #c23a78; --s5: #857111; --s6: #0f8ba6;
  --s7: #5b6472; --thin: #9fb0c3; --official: #1c2128; --earlier: #8b95a1; --mark: #b6555a;
  --good: #11774f; --warn: #925a06; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171c; --ink: #e4e8ed; --soft: #98a3b0; --line: #2b3139; --grid: #242931; --base: #4a525d;
  --s0: #6ba6f5; --s1: #f0935a; --s2: #4cc3a0; --s3: #b992ea; --s4: #ee84b2; --s5: #cbb64a; --s6: #58c4dc;
  --s7: #a7b0bc; --thin: #5d6b7b; --official: #e4e8ed; --earlier: #7f8a97; --mark: #d98388;
  --good: #4cc38a; --warn: #e8b25c; --bad: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1280px; padding: 40px 32px 64px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums }
h1 { display: inline; margin: 0; font-size: 26px; font-weight: 650; letter-spacing: -.01em;
  overflow-wrap: anywhere }
h2 { margin: 0 0 16px; font-size: 17px; font-weight: 650 }
h3 { margin: 0; font-size: 13px; font-weight: 500; color: var(--soft) }
header p { margin: 4px 0 0; color: var(--soft); overflow-wrap: anywhere }
header .message { color: var(--ink); white-space: pre-wrap }
.state { margin-left: 12px; padding: 1px 10px; border-radius: 99px; border: 1px solid currentColor;
  color: var(--soft); font-size: 13px; white-space: nowrap; vertical-align: 4px }
.state.done { color: var(--good) } .state.requeue { color: var(--warn) }
.state.fault, .state.user-error { color: var(--bad) }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 24px; margin: 28px 0 0 }
.tiles b { font-size: 30px; font-weight: 600; line-height: 1.25; letter-spacing: -.01em; white-space: nowrap }
.tiles small { margin-left: 6px; font-size: 15px; font-weight: 400; color: var(--soft); letter-spacing: 0 }
.tiles p { margin: 0; font-size: 13px; color: var(--soft) }
section { margin-top: 36px; padding-top: 24px; border-top: 1px solid var(--line) }
.grid { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 0 36px; margin-bottom: -24px }
.split { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 24px 48px;
  align-items: start }
figure { margin: 0; min-width: 0 }
figcaption { font-weight: 550 }
.unit { margin-left: 8px; font-weight: 400; font-size: 13px; color: var(--soft) }
.grid > figure { display: grid; grid-row: span 3; grid-template-rows: subgrid; padding-bottom: 24px }
.classes > figure { display: block; grid-row: auto }
.classes > figure:nth-child(2):last-child { grid-column: span 2 }
.legend { font-size: 13px; color: var(--soft) }
nav.legend { position: sticky; top: 0; z-index: 1; margin: 16px -8px 0; padding: 8px;
  background: var(--page) }
nav + main > section:first-child { margin-top: 12px }
.key { display: inline-block; margin-right: 14px; overflow-wrap: anywhere }
.key::before { content: ""; display: inline-block; width: 14px; margin-right: 5px; vertical-align: 4px;
  border-top: 2.5px solid var(--k) }
figcaption .key { margin: 0 0 0 14px; font-weight: 400; font-size: 13px; color: var(--soft) }
.s0 { --k: var(--s0) } .s1 { --k: var(--s1) } .s2 { --k: var(--s2) } .s3 { --k: var(--s3) }
.s4 { --k: var(--s4) } .s5 { --k: var(--s5) } .s6 { --k: var(--s6) } .s7 { --k: var(--s7) }
.soft { --k: var(--thin) } .official { --k: var(--official) } .earlier, .expected { --k: var(--earlier) }
svg { display: block; width: 100%; height: auto; overflow: visible }
svg text { fill: var(--soft); font-size: 12px; paint-order: stroke; stroke: var(--page); stroke-width: 3px;
  stroke-linejoin: round }
svg .x { text-anchor: middle } svg .y { text-anchor: end }
svg .rule { stroke: var(--grid) } svg .base { stroke: var(--base) }
svg polyline { fill: none; stroke: var(--k); stroke-width: 1.8; stroke-linejoin: round;
  stroke-linecap: round }
svg polyline.soft { stroke-width: 1.2 }
svg polyline.expected { stroke-dasharray: 2 3 }
svg circle { fill: var(--k); stroke: var(--page); stroke-width: 1 }
svg .whisker { stroke: var(--k); stroke-width: 2; stroke-linecap: round }
svg line.official, svg line.earlier { stroke: var(--k); stroke-width: 1.3; stroke-dasharray: 5 4 }
svg .mark { stroke: var(--mark); stroke-width: 1.1; stroke-dasharray: 1.5 3 }
.wide { overflow-x: auto }
table { width: 100%; border-collapse: collapse; font-size: 14px }
th, td { padding: 5px 16px 5px 0; text-align: left; vertical-align: top; border-top: 1px solid var(--line) }
tr:first-child > * { border-top: 0 }
th { font-weight: 400; color: var(--soft); overflow-wrap: anywhere }
td { overflow-wrap: anywhere }
.facts th:first-child { width: 13em }
.events th, .events td { white-space: nowrap } .events td:last-child { width: 99%; white-space: normal }
th .key { min-width: 12em; margin: 0 }
.figures td, .figures tr:first-child th + th { text-align: right; white-space: nowrap }
.figures tr > :last-child { padding-right: 0 }
.pairs td + td, .pairs th + th + th { text-align: right; padding: 5px 0 5px 16px; white-space: nowrap }
.standing svg { max-width: 640px } .stack .standing { margin-top: 24px }
.bars { table-layout: fixed; margin-top: 6px }
.bars th { width: 9em; padding: 3px 12px 3px 0; white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis } .bars td { padding: 3px 0 }
.bars td:last-child { width: 4em; text-align: right }
.bars th, .bars td { border: 0 }
.track div { position: relative; height: 21px; margin: 0 5px;
  background: linear-gradient(var(--base), var(--base)) center / 100% 1px no-repeat }
.track i { position: absolute; top: 6px; width: 9px; height: 9px; margin-left: -4.5px; border-radius: 50%;
  background: var(--k); border: 1px solid var(--page) }
.note { margin: 12px 0 0; font-size: 13px; color: var(--soft) }
.grid + .wide, .grid + .note { margin-top: 32px }
details { margin-top: 4px } summary { cursor: pointer; color: var(--soft); overflow-wrap: anywhere }
pre { margin: 12px 0 0; overflow-x: auto; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace }
@media (max-width: 1000px) { .grid { grid-template-columns: repeat(2, minmax(0, 1fr)) }
  .classes > figure:nth-child(2):last-child { grid-column: auto }
  .split { grid-template-columns: minmax(0, 1fr) } }
@media (max-width: 640px) { body { padding: 24px 16px 40px } .grid { grid-template-columns: minmax(0, 1fr) }
  .tiles { grid-template-columns: repeat(2, 1fr); gap: 20px 16px } .tiles b { font-size: 24px }
  .facts th:first-child { width: 9em } .standing text { font-size: 14px } }
@media (max-width: 440px) { svg text { font-size: 13.5px } .standing text { font-size: 20px } }
"""
