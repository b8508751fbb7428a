import { html, Markup, type Section, section } from './html-markup.ts';
import { STYLE } from './html-style.ts';

/**
 * All there is of script: the button for light and dark, the one that copies the command, and what opens before it
 * is printed. Without script the buttons are not there.
 */
export const SCRIPT = `
const root = document.documentElement;
const theme = document.getElementById('theme');
const copy = document.getElementById('copy');
theme.hidden = false;
theme.onclick = () => {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
};
if (navigator.clipboard) {
  copy.hidden = false;
  copy.onclick = () => navigator.clipboard.writeText(document.getElementById('command').textContent).then(() => { copy.textContent = 'Copied'; });
}
addEventListener('beforeprint', () => { for (const part of document.querySelectorAll('details:not(.alternative)')) part.open = true; });
`;
/** Of SCRIPT, so that the page may run this script and no other: a browser refuses what a name might smuggle in. */
export const SCRIPT_SHA256 = '7sTix8nOVoc5UqLXV3EEURB+B1aglJtH08S1qhvcuYQ=';
const POLICY = `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${SCRIPT_SHA256}'`;

export function page(model: string, top: Section, sections: readonly Section[], footer: string): string {
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${model}: ${top.title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<main>
<header><h1>${model}</h1><button id="theme" type="button" hidden>Light / dark</button></header>
<section id="${top.id}" aria-label="${top.title}">
${top.body}
</section>
<nav aria-label="Sections"><ul>
${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>\n`)}</ul></nav>
${sections.map(section)}</main>
<footer>${footer}</footer>
<script>${new Markup(SCRIPT)}</script>
</body>
</html>
`.text;
}
