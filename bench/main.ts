/** `npm run bench -- SUITE...`: runs benchmarks in the lab, prints tables, writes raw data. */
import { writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Driver } from './drivers/driver.js';
import { DRIVERS } from './drivers/index.js';
import { openLab } from './places/lab.js';
import type { Place } from './places/place.js';
import { publish } from './report/publish.js';
import { type Run, readRun, type Trial } from './report/results.js';
import { number, tableOf, terminal } from './report/table.js';
import { describeEnvironment } from './runner/environment.js';
import { catchInterrupts, checkInterrupted, Interrupted } from './runner/interrupt.js';
import { planTrials } from './runner/plan.js';
import { runTrial } from './runner/trial.js';
import { SUITES, type Suite, WORKLOADS } from './workloads/index.js';
import type { Workload } from './workloads/workload.js';

interface Options {
  readonly rounds: number;
  readonly seconds?: number;
  readonly drivers: readonly Driver[];
  readonly json?: string;
  readonly keep?: boolean;
}

const DEFAULT_ROUNDS = 5;

const program = new Command('npm run bench --')
  .description('Measures container networks against each other, in the lab. Needs root.')
  .helpCommand(false)
  .argument('<suite...>', `what to run: ${[...names(SUITES), ...names(WORKLOADS)].join(', ')}`)
  .option('--rounds <n>', 'how many times', positive, DEFAULT_ROUNDS)
  .option('--seconds <s>', 'length of each measurement that has one', positive)
  .addOption(
    new Option('--drivers <list>', `which, separated by commas: ${names(DRIVERS).join(', ')}`)
      .argParser(parseDrivers)
      .default(DRIVERS, 'all'),
  )
  .option('--json <file>', 'write the raw data (bench/README.md describes it)')
  .option('--keep', 'keep the lab')
  .action(bench);

program
  .command('show')
  .description('print the tables of a run again')
  .argument('<file>')
  .action((file: string) => printTables(readRun(file)));

program
  .command('publish')
  .description('write the tables of bench/results/*.json into README.md and docs/performance.md')
  .option('--check', 'change nothing, fail if they are not up to date')
  .action((options: { readonly check?: boolean }) => publish(options.check === true));

catchInterrupts(() => process.stderr.write('\nbench: ending, and cleaning up\n'));
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof Interrupted)) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}

async function bench(words: readonly string[], options: Options): Promise<void> {
  const workloads = selectWorkloads(words);
  const place = await openLab({ keep: options.keep === true, onLine: log });
  const trials: Trial[] = [];
  const startedAt = new Date().toISOString();
  try {
    const environment = await describeEnvironment(place);
    const planned = planTrials(workloads, options.drivers, options.rounds);
    const run = (): Run => ({
      schema: 1,
      startedAt,
      finishedAt: new Date().toISOString(),
      complete: trials.length === planned.length,
      suites: [...words],
      drivers: names(options.drivers),
      rounds: options.rounds,
      environment,
      trials,
    });
    try {
      for (const [index, { workload, driver, round }] of planned.entries()) {
        checkInterrupted();
        const seconds = options.seconds ?? workload.seconds;
        const trial = await runTrial(place, workload, driver, round, { seconds });
        trials.push(trial);
        log(`${index + 1}/${planned.length}  ${progress(trial, workload)}`);
      }
    } finally {
      report(run(), options.json);
    }
  } finally {
    await close(place);
  }
  if (trials.some(({ error }) => error !== undefined)) process.exitCode = 1;
}

async function close(place: Place): Promise<void> {
  await place.close();
}

function report(run: Run, json: string | undefined): void {
  printTables(run);
  if (json === undefined) return;
  writeFileSync(json, `${JSON.stringify(run, null, 1)}\n`);
  log(`raw data: ${json}`);
}

function printTables(run: Run): void {
  for (const suite of SUITES) {
    for (const workloads of suite.tables) {
      if (!run.trials.some((t) => workloads.some(({ name }) => name === t.workload))) continue;
      process.stdout.write(`\n${caption(suite, workloads)}\n`);
      process.stdout.write(`${terminal(tableOf(run.trials, workloads))}\n`);
    }
  }
  const { environment: at } = run;
  process.stdout.write(
    `\n${run.startedAt}, commit ${at.commit}${at.modified ? ' (modified)' : ''}, Linux ${at.kernel}, ${at.cores} x ${at.cpu}${run.complete ? '' : '; INCOMPLETE'}\n`,
  );
}

function caption(suite: Suite, workloads: readonly Workload[]): string {
  const baseline =
    workloads[0]?.baseline === 'host'
      ? 'relative to --network=host'
      : 'relative to the same container without acceleration';
  return `${suite.title}: median, and speed ${baseline} (range)`;
}

function progress(trial: Trial, workload: Workload): string {
  const { metrics, error } = trial;
  const result =
    error === undefined
      ? workload.metrics
          .map(({ name, title, unit }) => `${title} ${number(metrics?.[name] ?? 0)} ${unit}`)
          .join(', ')
      : `FAILED: ${error}`;
  return `round ${trial.round}  ${trial.driver}  ${trial.workload}: ${result}`;
}

function selectWorkloads(words: readonly string[]): readonly Workload[] {
  const selected = words.flatMap((word) => {
    const suite = SUITES.find(({ name }) => name === word);
    const found = suite?.tables.flat() ?? WORKLOADS.filter(({ name }) => name === word);
    if (found.length > 0) return found;
    const known = [...names(SUITES), ...names(WORKLOADS)].join(', ');
    throw new Error(`unknown suite or workload "${word}"; known: ${known}`);
  });
  return [...new Set(selected)];
}

function parseDrivers(text: string): readonly Driver[] {
  const wanted = text.split(',').map((name) => name.trim());
  for (const name of wanted) {
    if (DRIVERS.some((driver) => driver.name === name)) continue;
    throw new InvalidArgumentError(`unknown driver "${name}"; known: ${names(DRIVERS).join(', ')}`);
  }
  return DRIVERS.filter(({ name }) => wanted.includes(name));
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new InvalidArgumentError('must be a whole number above 0');
  }
  return value;
}

function names(list: readonly { readonly name: string }[]): string[] {
  return list.map(({ name }) => name);
}

function log(line: string): void {
  process.stderr.write(`${line}\n`);
}
