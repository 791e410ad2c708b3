/**
 * The speeds as one picture: a panel for each, a bar for each driver, the value and the ratio at its end. Vega draws the SVG text here,
 * without a browser. There is one file for each colour scheme, because a page that shows an SVG by <img> decides on the scheme, by <picture>.
 *
 * Colours are those of Okabe and Ito, which colour-blind people tell apart; sockswitch also differs in lightness and in the weight of its text.
 */
import type { TopLevelSpec } from 'vega-lite';
import type { PositionFieldDef } from 'vega-lite/types_unstable/channeldef.js';
import type { NonNormalizedSpec, UnitSpec } from 'vega-lite/types_unstable/spec/index.js';
import { DRIVERS } from '../drivers/index.js';
import { escapeHtml } from './chart.js';
import {
  baselineName,
  PICTURE_DRIVERS,
  roundedRatio,
  type Speed,
  type SpeedRow,
} from './speeds.js';
import { columnHead, number } from './table.js';

export type Scheme = 'light' | 'dark';

interface Colours {
  readonly ours: string;
  readonly host: string;
  readonly other: string;
  readonly text: string;
  readonly quiet: string;
}

const COLOURS: Readonly<Record<Scheme, Colours>> = {
  light: { ours: '#0072b2', host: '#57606a', other: '#8c959f', text: '#1f2328', quiet: '#59636e' },
  dark: { ours: '#56b4e9', host: '#9198a1', other: '#656c76', text: '#f0f6fc', quiet: '#9198a1' },
};

/** What the bars are called; the title of the picture says over which network. */
const LABELS: Readonly<Record<string, string>> = {
  host: '--network=host',
  'sockswitch-pasta': 'sockswitch',
};

const TITLE = 'Speed of a rootless Podman container, between it and another machine';
const EXPLANATION = [
  'Median of the rounds; in brackets the speed relative to --network=host.',
  'sockswitch runs over pasta here, bypass4netns over slirp4netns.',
];
const PANELS_A_ROW = 3;
const PANEL_WIDTH = 205;
const ROW = 22;
/** Of the panel's width, for the longest bar. The rest is for the text at its end. */
const LONGEST_BAR = 0.52;
const FONT = 'system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif';

/** An SVG file. */
export async function picture(speeds: readonly Speed[], scheme: Scheme): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  const shown = speeds.filter(({ inPicture }) => inPicture);
  const colours = COLOURS[scheme];
  const spec: TopLevelSpec = {
    background: 'transparent',
    padding: 8,
    title: {
      text: [...EXPLANATION],
      orient: 'bottom',
      anchor: 'start',
      frame: 'bounds',
      offset: 16,
      color: colours.quiet,
      fontSize: 12,
      fontWeight: 'normal',
    },
    columns: PANELS_A_ROW,
    // Vega guesses the width of text, and guesses too much: what stands around the bars must not move the panels.
    bounds: 'flush',
    spacing: { row: 62, column: 18 },
    concat: shown.map((speed, index) => panel(speed, index, colours)),
    config: {
      font: FONT,
      view: { stroke: null },
      axis: { labelColor: colours.text },
    },
  };
  const view = new vega.View(vega.parse(vegaLite.compile(spec).spec), {
    renderer: 'none',
    logLevel: vega.Error,
  });
  try {
    return described(await view.toSVG(), shown);
  } finally {
    view.finalize();
  }
}

function panel({ title, column, rows }: Speed, index: number, colours: Colours): NonNormalizedSpec {
  const values = PICTURE_DRIVERS.map((driver) => {
    const row = rows.find((candidate) => candidate.driver === driver);
    return {
      label: label(driver),
      kind: driver === 'host' ? 'host' : driver.startsWith('sockswitch') ? 'ours' : 'other',
      value: row?.figure.value?.median ?? 0,
      text: row === undefined ? withoutRow(column, driver) : barText(column, row),
    };
  });
  const longest = Math.max(...values.map(({ value }) => value));
  const startsRow = index % PANELS_A_ROW === 0;
  const x: PositionFieldDef<string> = {
    field: 'value',
    type: 'quantitative',
    scale: { domain: [0, longest / LONGEST_BAR], nice: false },
    axis: null,
  };
  const isOurs = "datum.kind === 'ours'";
  const texts = (filter: string, fontWeight: 'bold' | 'normal'): UnitSpec<string> => ({
    transform: [{ filter }],
    mark: { type: 'text', align: 'left', baseline: 'middle', dx: 5, fontSize: 12, fontWeight },
    encoding: { x, text: { field: 'text', type: 'nominal' }, color: { value: colours.text } },
  });
  return {
    width: PANEL_WIDTH,
    height: { step: ROW },
    data: { values },
    title: {
      text: title,
      subtitle: column.metric.unit === '1/s' ? 'a second' : column.metric.unit,
      anchor: 'start',
      color: colours.text,
      subtitleColor: colours.quiet,
      fontSize: 13,
      subtitleFontSize: 12,
      offset: 6,
    },
    encoding: {
      y: {
        field: 'label',
        type: 'nominal',
        sort: null,
        axis: startsRow
          ? {
              title: null,
              ticks: false,
              domain: false,
              labelLimit: 0,
              labelFontSize: 12,
              labelPadding: 6,
              labelFontWeight: {
                condition: {
                  test: `datum.value === '${label('sockswitch-pasta')}'`,
                  value: 'bold',
                },
                value: 'normal',
              },
            }
          : null,
      },
    },
    layer: [
      {
        mark: { type: 'bar', height: ROW - 7 },
        encoding: {
          x,
          color: {
            field: 'kind',
            type: 'nominal',
            scale: {
              domain: ['host', 'ours', 'other'],
              range: [colours.host, colours.ours, colours.other],
            },
            legend: null,
          },
        },
      },
      texts(isOurs, 'bold'),
      texts(`!(${isOurs})`, 'normal'),
    ],
  };
}

function label(driver: string): string {
  return LABELS[driver] ?? driver;
}

/** A container without a network of its own has no tunnel, for one. */
function withoutRow({ workload }: Speed['column'], name: string): string {
  const driver = DRIVERS.find((candidate) => candidate.name === name);
  return driver !== undefined && workload.suits?.(driver) === false ? '–' : 'not measured';
}

/** `28.3 (1.1×)`; where the ratio is not to the host, also to what. */
function barText(column: Speed['column'], { driver, figure }: SpeedRow): string {
  if (figure.value === undefined) return 'failed';
  const value = number(figure.value.median);
  const ratio = roundedRatio(figure);
  if (ratio === undefined) return value;
  const baseline = baselineName(column, driver);
  return baseline === 'host' ? `${value} (${ratio}×)` : `${value} (${ratio}× ${baseline})`;
}

/** The picture in words, for those who do not see it. */
export function pictureDescription(speeds: readonly Speed[]): string {
  return speeds
    .map(({ title, column, rows }) => {
      const bars = rows
        .filter(({ driver }) => PICTURE_DRIVERS.includes(driver))
        .map((row) => `${label(row.driver)} ${barText(column, row)}`);
      const { title: measured, ...metric } = column.metric;
      return `${columnHead({ ...metric, title })}: ${bars.join(', ')}.`;
    })
    .join(' ');
}

/** Vega's own labels say nothing of the data. */
function described(svg: string, speeds: readonly Speed[]): string {
  const bare = svg.replace(/ (?:aria-[a-z]+|role)="[^"]*"/g, '');
  const text = `<title id="title">${escapeHtml(TITLE)}</title>\n<desc id="desc">${escapeHtml(pictureDescription(speeds))}</desc>`;
  return `${bare.replace(/<svg([^>]*)>/, `<svg$1 role="img" aria-labelledby="title desc">\n${text}\n`)}\n`;
}
