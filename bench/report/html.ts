/** A run as one HTML file that needs nothing else: charts, tables, command lines, environment. Light or dark, as the reader has it. */
import { DRIVERS } from '../drivers/index.js';
import { type Bar, chart, escapeHtml } from './chart.js';
import { provenanceParts } from './markdown.js';
import type { Run } from './results.js';
import { baselineText, type ShownTable, shownTables } from './shown.js';
import { figure, NOISY } from './statistics.js';
import { type TextTable, tableOf } from './table.js';

const STYLE = `
:root { color-scheme: light dark; --ours: #1a7f5a; --other: #8b95a1; --grid: #d5d9de; --quiet: #4b5560; }
@media (prefers-color-scheme: dark) {
  :root { --ours: #3fbf8f; --other: #7c8794; --grid: #3a4149; --quiet: #aab4bf; }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  background: light-dark(#fff, #15181c); color: light-dark(#1b2025, #e6e9ec); }
.charts { display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
figure { margin: 0; max-width: 100%; overflow-x: auto; }
svg { display: block; height: auto; max-width: 100%; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
pre { overflow-x: auto; font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.note, footer { color: var(--quiet); font-size: .9rem; overflow-wrap: anywhere; }
`;

export async function runHtml(run: Run): Promise<string> {
  const tables = shownTables(run.trials);
  const sections: string[] = [];
  for (const table of tables) sections.push(await section(run, table));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>sockswitch bench, ${escapeHtml(run.startedAt.slice(0, 10))}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>sockswitch bench</h1>
<p>${provenanceParts(run).map(escapeHtml).join(', ')}.</p>
<p>Bars are medians, lines the range of the rounds. Tables also have the speed relative to a baseline in the same round, with its
range; above 1 is faster, for times and costs, too. ~ marks ratios that may differ by ${NOISY * 100} % or more in another run.</p>
${sections.join('\n')}
<h2>To repeat a row</h2>
${commands(run)}
<h2>Environment</h2>
<div class="scroll">${environmentTable(run)}</div>
</body>
</html>
`;
}

async function section(run: Run, { title, columns, baseline }: ShownTable): Promise<string> {
  const charts: string[] = [];
  for (const column of columns.filter(({ metric }) => !metric.yesNo)) {
    const bars: Bar[] = DRIVERS.filter(({ name }) =>
      run.trials.some((t) => t.driver === name && t.workload === column.workload.name),
    ).map(({ name, title: label, switches }) => ({
      driver: name,
      title: label,
      ours: switches,
      figure: figure(run.trials, column.workload, column.metric, name),
    }));
    charts.push(`<figure>${await chart(column, bars)}</figure>`);
  }
  return `<section>
<h2>${escapeHtml(title)}</h2>
<div class="charts">
${charts.join('\n')}
</div>
<p class="note">Relative to ${escapeHtml(baselineText(baseline))}.</p>
<div class="scroll">${table(tableOf(run.trials, columns))}</div>
</section>`;
}

function table({ head, rows, footnotes }: TextTable): string {
  const cells = (list: readonly string[], tag: 'td' | 'th') =>
    `<tr>${list.map((text) => `<${tag}>${escapeHtml(text)}</${tag}>`).join('')}</tr>`;
  const notes = footnotes.map((note) => `<p class="note">${escapeHtml(note)}</p>`).join('\n');
  return `<table><thead>${cells(head, 'th')}</thead><tbody>${rows.map((row) => cells(row, 'td')).join('\n')}</tbody></table>${notes}`;
}

/** Of the first round; the others differ in the container's name only. */
function commands({ trials }: Run): string {
  return trials
    .filter(({ round, command }) => round === 1 && command.length > 0)
    .map(({ workload, driver, command, note }) => {
      const text = [command.map(shellWord).join(' '), ...(note === undefined ? [] : [note])];
      return `<details><summary>${escapeHtml(`${workload}, ${driver}`)}</summary><pre>${escapeHtml(text.join('\n\n'))}</pre></details>`;
    })
    .join('\n');
}

function environmentTable({ environment: { versions, sysctls, ...rest } }: Run): string {
  const rows = [
    ...Object.entries(rest),
    ...Object.entries(versions).map(([name, value]) => [`version of ${name}`, value] as const),
    ...Object.entries(sysctls),
  ].map(([name, value]) => [name, String(value)]);
  return table({ head: ['what', 'value'], rows, footnotes: [] });
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
