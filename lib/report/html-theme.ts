/** Colours by what they are for, `#rrggbb`. Text on `background` and on `panel` has a contrast of 4.5 and more. */
export interface Theme {
  background: string;
  panel: string;
  line: string;
  text: string;
  quiet: string;
  link: string;
  good: string;
  warn: string;
  bad: string;
  /** What this result is, in every chart. */
  accent: string;
  /** What it is compared with. */
  other: string;
  /** Bars of 2 and of 8 bits; those between are mixed. */
  narrow: string;
  wide: string;
}

/** Blue and orange of Okabe and Ito: apart for every kind of colour vision. */
export const LIGHT: Theme = {
  background: '#ffffff',
  panel: '#f6f8fa',
  line: '#d1d9e0',
  text: '#1f2328',
  quiet: '#59636e',
  link: '#0055aa',
  good: '#116329',
  warn: '#805500',
  bad: '#b31d28',
  accent: '#0072b2',
  other: '#b04a00',
  narrow: '#4a94cc',
  wide: '#0a3a6b',
};
export const DARK: Theme = {
  background: '#0d1117',
  panel: '#161b22',
  line: '#30363d',
  text: '#e6edf3',
  quiet: '#9aa4ae',
  link: '#79b8ff',
  good: '#56d364',
  warn: '#e3b341',
  bad: '#ff8178',
  accent: '#56b4e9',
  other: '#f0a04b',
  narrow: '#2f7fb8',
  wide: '#cfe8fb',
};

/** Cividis in nine steps, dark to light: made for readers with and without colour vision. The same in both themes. */
export const HEAT: readonly string[] = [
  '#00224e',
  '#123570',
  '#3b496c',
  '#575d6d',
  '#6b6c70',
  '#8a8678',
  '#a59c74',
  '#c3b369',
  '#fee838',
];
/** From here on black is easier to read than white. */
const DARK_STEPS = 5;
export const heatText = (step: number) => (step < DARK_STEPS ? '#ffffff' : '#000000');

const channels = (colour: string) =>
  [1, 3, 5].map((start) => Number.parseInt(colour.slice(start, start + 2), 16));

export function mixed(from: string, to: string, share: number): string {
  const end = channels(to);
  return `#${channels(from)
    .map((channel, i) =>
      Math.round(channel + share * (end[i] - channel))
        .toString(16)
        .padStart(2, '0'),
    )
    .join('')}`;
}

/** Contrast of WCAG 2.2: 1 to 21. */
export function contrast(a: string, b: string): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

function luminance(colour: string): number {
  const [red, green, blue] = channels(colour).map((channel) => {
    const share = channel / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
