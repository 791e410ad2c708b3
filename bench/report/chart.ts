/**
 * One chart a column of a table: a bar for each driver, and a line over the range of the rounds. Vega draws SVG text here, without a
 * browser. Colours are CSS variables and the text's own colour, so that the page decides on light or dark.
 */
import type { Column } from '../workloads/index.js';
import type { Figure } from './statistics.js';
import { columnHead, number } from './table.js';

export interface Bar {
  readonly driver: string;
  readonly title: string;
  /** Whether it is the one to look at. */
  readonly ours: boolean;
  readonly figure: Figure;
}

const WIDTH = 260;
const ROW = 24;
const FONT = 'system-ui, sans-serif';

/** An `<svg>` element. Bars without a value are left out; the table says why. */
export async function chart(column: Column, bars: readonly Bar[]): Promise<string> {
  const [vega, vegaLite] = await Promise.all([import('vega'), import('vega-lite')]);
  const values = bars.flatMap(({ title, ours, figure: { value } }) =>
    value === undefined
      ? []
      : [{ title, ours, median: value.median, min: value.min, max: value.max }],
  );
  const { spec } = vegaLite.compile({
    data: { values },
    width: WIDTH,
    height: { step: ROW },
    background: 'transparent',
    encoding: {
      y: {
        field: 'title',
        type: 'nominal',
        sort: null,
        axis: { title: null, ticks: false, domain: false, labelLimit: 0, labelFontSize: 12 },
      },
    },
    layer: [
      {
        mark: { type: 'bar', height: ROW - 8 },
        encoding: {
          x: {
            field: 'median',
            type: 'quantitative',
            axis: { title: columnHead(column.metric), tickCount: 4, titleFontSize: 12 },
          },
          color: {
            field: 'ours',
            type: 'nominal',
            scale: { domain: [true, false], range: ['var(--ours)', 'var(--other)'] },
            legend: null,
          },
        },
      },
      {
        mark: { type: 'rule', color: 'currentColor', strokeWidth: 1.5 },
        encoding: { x: { field: 'min', type: 'quantitative' }, x2: { field: 'max' } },
      },
    ],
    config: {
      font: FONT,
      view: { stroke: null },
      axis: {
        labelColor: 'currentColor',
        titleColor: 'currentColor',
        titleFontWeight: 'normal',
        gridColor: 'var(--grid)',
        tickColor: 'var(--grid)',
        domainColor: 'var(--grid)',
      },
    },
  });
  const view = new vega.View(vega.parse(spec), { renderer: 'none', logLevel: vega.Error });
  try {
    return label(await view.toSVG(), description(column, bars));
  } finally {
    view.finalize();
  }
}

/** The chart in words, for those who do not see it. */
export function description({ metric }: Column, bars: readonly Bar[]): string {
  const parts = bars.map(({ title, figure: { value } }) =>
    value === undefined
      ? `${title}: failed`
      : `${title}: ${number(value.median)} (${number(value.min)} to ${number(value.max)})`,
  );
  return `${columnHead(metric)}, median and range. ${parts.join('; ')}.`;
}

/** Vega's own label says nothing of the data, and labels its parts besides. */
function label(svg: string, text: string): string {
  const bare = svg.replace(/ (?:aria-[a-z]+|role)="[^"]*"/g, '');
  return bare.replace('<svg', `<svg role="img" aria-label="${escapeHtml(text)}"`);
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
