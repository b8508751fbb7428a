import { DARK, HEAT, heatText, LIGHT, mixed, type Theme } from './html-theme.ts';

const WIDTHS = [2, 3, 4, 5, 6, 7, 8];

function variables(theme: Theme): string {
  const bars = WIDTHS.map(
    (bits) => `--bits-${bits}: ${mixed(theme.narrow, theme.wide, (bits - 2) / (WIDTHS.length - 1))};`,
  );
  return [...Object.entries(theme).map(([name, colour]) => `--${name}: ${colour};`), ...bars].join(' ');
}

/** The style sheet: dark as the system is, as the button says, and never on paper. */
export const STYLE = `
:root { color-scheme: light; ${variables(LIGHT)} }
@media screen and (prefers-color-scheme: dark) { :root:not([data-theme=light]) { color-scheme: dark; ${variables(DARK)} } }
@media screen { :root[data-theme=dark] { color-scheme: dark; ${variables(DARK)} } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 24px 24px 64px; background: var(--background); color: var(--text); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { margin: 0; font-size: 26px; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 0; font-size: 20px; }
h3 { margin: 24px 0 4px; font-size: 15px; }
p { margin: 8px 0; }
a { color: var(--link); }
section { margin-top: 48px; scroll-margin-top: 16px; }
#verdict { margin-top: 0; }
header { display: flex; gap: 16px; align-items: start; justify-content: space-between; }
nav ul { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 20px 0 0; padding: 0; list-style: none; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
code { unicode-bidi: isolate; overflow-wrap: anywhere; }
th code, td code { white-space: nowrap; }
th code.long, td code.long { display: inline-block; min-width: 32ch; vertical-align: top; white-space: normal; }
pre { margin: 8px 0; padding: 12px 16px; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--panel); border: 1px solid var(--line); border-radius: 6px; }
button { padding: 4px 12px; font: inherit; white-space: nowrap; color: var(--text); background: var(--panel); border: 1px solid var(--line); border-radius: 6px; cursor: pointer; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.reading, .quiet { color: var(--quiet); }
.reading { margin: 4px 0 16px; max-width: 78ch; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.verdict { margin: 20px 0 16px; padding: 14px 18px; font-size: 17px; background: var(--panel); border: 1px solid var(--line); border-left: 6px solid var(--tone); border-radius: 6px; }
.verdict strong { color: var(--tone); }
.good { --tone: var(--good); } .warn { --tone: var(--warn); } .bad { --tone: var(--bad); }
.held, .missed { white-space: nowrap; color: var(--good); } .missed { color: var(--bad); font-weight: 600; }
.asked td:last-child { min-width: 13em; }
.note { margin: 8px 0; padding: 8px 14px; border-left: 4px solid var(--warn); background: var(--panel); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin: 0 0 20px; }
.tiles div { padding: 12px 16px; background: var(--panel); border: 1px solid var(--line); border-radius: 6px; }
.tiles dt { color: var(--quiet); font-size: 13px; }
.tiles dd { margin: 0; }
.tiles .value { font-size: 24px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tiles .beside { color: var(--quiet); font-size: 13px; }
.scroll { max-width: 100%; overflow-x: auto; }
figure { margin: 0 0 12px; }
table { border-collapse: collapse; font-size: 14px; }
th, td { padding: 3px 12px; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child { padding-left: 2px; }
thead th { color: var(--quiet); font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 400; max-width: 26em; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.wide { width: 100%; }
summary { cursor: pointer; }
section > details > summary { margin: 8px 0; color: var(--link); }
th details { min-width: 17em; }
th summary { white-space: nowrap; }
.trace td:nth-child(3), .trace td:nth-child(4) { min-width: 14em; overflow-wrap: anywhere; }
th details p { margin: 2px 0 6px; color: var(--quiet); font-size: 13px; }
.axis-bar { fill: var(--quiet); }
svg { display: block; max-width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--text); }
svg .small { font-size: 11px; }
svg .quiet { fill: var(--quiet); }
svg .strong { font-weight: 600; }
.grid { stroke: var(--line); fill: none; }
.axis { stroke: var(--quiet); fill: none; }
.hit { fill: transparent; }
g:hover > .hit { fill: var(--text); fill-opacity: 0.07; }
.accent { fill: var(--accent); }
.accent-line { stroke: var(--accent); stroke-width: 2; fill: none; }
.other { fill: var(--other); }
.other-line { stroke: var(--other); stroke-width: 1.5; fill: none; }
.limit { stroke: var(--quiet); stroke-width: 1.5; stroke-dasharray: 5 4; fill: none; }
.tried { fill: var(--background); stroke: var(--quiet); stroke-width: 1.5; }
.ring { fill: var(--accent); stroke: var(--background); stroke-width: 2; }
${WIDTHS.map((bits) => `.bits-${bits} { fill: var(--bits-${bits}); }`).join(' ')}
.share { width: 130px; height: 12px; margin-top: 5px; }
.part { fill: var(--accent); stroke: var(--background); } .part.even { fill-opacity: 0.6; }
.multiples { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 14px 20px; }
.multiples figure { margin: 0; break-inside: avoid; }
.multiples svg { width: 100%; }
.multiples figcaption { display: flex; gap: 8px; justify-content: space-between; font-size: 12px; }
.multiples figcaption code { font-size: 12px; white-space: nowrap; }
.multiples figcaption span { white-space: nowrap; }
.after { fill: var(--accent); fill-opacity: 0.55; }
.before { stroke: var(--other); stroke-width: 1.5; fill: none; vector-effect: non-scaling-stroke; }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(310px, 100%), 1fr)); gap: 8px 32px; }
.heat { border-collapse: separate; border-spacing: 2px; }
.heat th, .heat td { padding: 1px 10px; border: 0; }
.heat td { min-width: 82px; border-radius: 3px; }
.heat .pick { font-weight: 700; outline: 3px solid var(--text); outline-offset: -1px; box-shadow: inset 0 0 0 3px var(--background); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; align-items: center; margin: 0 0 12px; padding: 0; list-style: none; font-size: 13px; }
.legend li { display: flex; gap: 6px; align-items: center; }
.legend svg { width: 18px; height: 14px; }
.scale { display: flex; }
.scale span { width: 22px; height: 14px; }
${HEAT.map((colour, step) => `.h${step} { background: ${colour}; color: ${heatText(step)}; }`).join(' ')}
.heat td, .scale span { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
footer { margin-top: 48px; color: var(--quiet); font-size: 13px; }
@media (max-width: 640px) {
  body { padding: 16px 14px 48px; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tiles .value { font-size: 20px; }
  .scroll > svg { max-width: none; }
  th, td { padding: 3px 8px; }
  .heat td { min-width: 58px; }
  .heat th, .heat td { padding: 1px 5px; }
  th:first-child { position: sticky; left: 0; background: var(--background); }
  th code.long, td code.long { min-width: 16ch; }
  th details { min-width: 0; }
  .multiples { grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); }
}
@media print {
  body { max-width: none; padding: 0; font-size: 12px; }
  nav, button { display: none; }
  section { margin-top: 0; break-before: page; }
  #verdict, #numbers, #widths { break-before: auto; margin-top: 24px; }
  #widths { break-inside: avoid; }
  .tiles { grid-template-columns: repeat(4, 1fr); }
  .tiles .value { font-size: 18px; }
  .alternative { display: none; }
  h2, h3, .reading { break-after: avoid; }
  tr, figure > svg { break-inside: avoid; }
  .scroll { overflow: visible; }
  table, code, pre { font-size: 11px; }
  th, td { padding: 2px 8px; }
  .heat td { min-width: 54px; }
  .multiples { grid-template-columns: repeat(4, 1fr); }
  th details p { font-size: 10px; line-height: 1.3; }
  svg { overflow: visible; }
  .scroll svg text, .scroll svg .small { font-size: 13px; }
  svg * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
