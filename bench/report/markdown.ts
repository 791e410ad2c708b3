/** A run as Markdown: its tables, and where they were measured. */
import type { Run } from './results.js';
import { baselineText, shownTables } from './shown.js';
import { markdown, tableOf } from './table.js';

/** `path` is where the raw data is; left out where they belong together anyway. */
export function runMarkdown(run: Run, path?: string): string {
  const sections = shownTables(run.trials).map(({ title, columns, baseline }) =>
    [
      `### ${title}`,
      `Median, and speed relative to ${baselineText(baseline, '`')} (range over the rounds; above 1 is faster).`,
      markdown(tableOf(run.trials, columns)),
    ].join('\n\n'),
  );
  return [...sections, provenance(run, path)].join('\n\n');
}

/** provenanceParts on one line. */
export function provenance(run: Run, path?: string): string {
  return `*${path === undefined ? '' : `${path}: `}${provenanceParts(run).join(', ')}.*`;
}

/** Date, commit, machine and versions. */
export function provenanceParts(run: Run): string[] {
  const { environment: at } = run;
  const versions = ['podman', 'crun', 'pasta', 'slirp4netns', 'bypass4netns']
    .flatMap((name) => (at.versions[name] === undefined ? [] : [`${name} ${at.versions[name]}`]))
    .join(', ');
  return [
    run.startedAt.slice(0, 10),
    `commit ${at.commit}${at.modified ? ' with local changes' : ''}`,
    `${run.rounds} round${run.rounds === 1 ? '' : 's'}`,
    ...(run.complete ? [] : ['interrupted']),
    `Linux ${at.kernel}`,
    `${at.cores} cores of ${at.cpu}`,
    ...(at.loadAverage === undefined
      ? []
      : [`load average ${at.loadAverage.toFixed(1)} at the start`]),
    versions,
  ];
}
