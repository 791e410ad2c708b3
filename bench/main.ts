/**
 * The benchmarks' command line: `npm run bench` (in the lab, as root) and `sockswitch bench` (in the user's own Podman). The first argument
 * says which of the two, and is put there by bench/run and by src/commands/bench.ts.
 */
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { DRIVERS, USUAL_DRIVERS } from './drivers/index.js';
import { checkLimits } from './limits.js';
import { openLab } from './places/lab.js';
import {
  answers,
  checkPrograms,
  howToServe,
  needIperf3,
  openLocal,
  which,
} from './places/local.js';
import type { Place } from './places/place.js';
import { compareRuns } from './report/compare.js';
import { publish } from './report/publish.js';
import { type Run, readRun } from './report/results.js';
import { terminal } from './report/table.js';
import { printRun } from './report/terminal.js';
import { checkWritable, writeJson, writeReport } from './report/write.js';
import { runBench } from './runner/bench.js';
import { CommandError } from './runner/execute.js';
import { catchInterrupts, Interrupted } from './runner/interrupt.js';
import { DEFAULT_ROUNDS } from './runner/plan.js';
import {
  checkMachine,
  driversFor,
  knownWorkloads,
  parseDrivers,
  selectWorkloads,
  thisMachine,
  workloadsFor,
} from './runner/select.js';
import type { Workload } from './workloads/workload.js';

interface Options {
  readonly quick?: boolean;
  readonly rounds?: number;
  readonly seconds?: number;
  readonly drivers?: string;
  readonly server?: string;
  readonly httpPort: number;
  readonly json?: string;
  readonly report?: string;
  readonly check?: boolean;
  readonly keep?: boolean;
}

const QUICK = { rounds: 1, seconds: 1 } as const;

const [, , where, ...words] = process.argv;
if (where !== 'lab' && where !== 'local') throw new Error('bench/run starts this');
const inLab = where === 'lab';
const command = inLab ? 'npm run bench --' : 'sockswitch bench';
const HOW_TO_SERVE = howToServe('the bench', 'sockswitch bench', 'npm run bench');

const program = new Command(command)
  .description(
    inLab
      ? 'Measures container networks against each other, in the lab. Needs root.'
      : 'Measures container networks against each other, in your own rootless Podman, with a server on a second machine.',
  )
  .helpCommand(false)
  .showHelpAfterError('(see --help)')
  .argument(
    '[workload...]',
    `what to run: ${knownWorkloads(workloadsFor(where)).join(', ')}; all, if left out`,
  )
  .option('--quick', 'one short round, without the workloads that take long; under 3 minutes')
  .option(
    '--rounds <n>',
    `how many times (default: ${DEFAULT_ROUNDS}, fewer of what takes long)`,
    positive,
  )
  .option('--seconds <s>', 'length of each measurement that has one', positive)
  .option(
    '--drivers <list>',
    `which, separated by commas: ${DRIVERS.map(({ name }) => name).join(', ')} (default: all that can run here, but for floor)`,
  )
  .option('--json <file>', 'write the raw data (bench/README.md describes it)')
  .option('--report <dir>', 'write a report: index.html, report.md, results.json')
  .action(bench);
if (inLab) {
  program.option('--check', 'fail when a figure falls below what bench/limits.ts asks');
  program.option('--keep', 'keep the lab');
} else {
  program
    .option(
      '--server <address>',
      'a second machine that runs "iperf3 -s" and, optionally, an HTTP server',
    )
    .addHelpText('after', HOW_TO_SERVE);
}
program.option('--http-port <port>', 'port of the HTTP server there', positive, 80);

program
  .command('show')
  .description('print the tables of a run again')
  .argument('<file>')
  .action((file: string) => printRun(readRun(file)));

program
  .command('report')
  .description('write the report of a run again')
  .argument('<file>')
  .argument('<dir>')
  .action(async (file: string, directory: string) => {
    log(`report: ${await writeReport(readRun(file), directory)}`);
  });

program
  .command('compare')
  .description('compare two runs, before and after')
  .argument('<before>')
  .argument('<after>')
  .action((before: string, after: string) => {
    process.stdout.write(`${terminal(compareRuns(readRun(before), readRun(after)))}\n`);
  });

if (inLab) {
  program
    .command('publish')
    .description('write tables and the picture of bench/results/*.json into README.md and docs/')
    .option('--check', 'change nothing, fail if they are not up to date')
    .action((options: { readonly check?: boolean }) =>
      publish(fileURLToPath(new URL('../..', import.meta.url)), options.check === true),
    );
}

catchInterrupts(() => process.stderr.write('\nbench: ending, and cleaning up\n'));
try {
  await program.parseAsync(words, { from: 'user' });
} catch (error) {
  if (!(error instanceof Interrupted)) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}

async function bench(asked: readonly string[], options: Options): Promise<void> {
  const quick = options.quick === true;
  const selected = selectWorkloads(asked, where === 'lab' ? 'lab' : 'local', quick);
  const wanted = options.drivers === undefined ? undefined : parseDrivers(options.drivers);
  checkMachine(selected, thisMachine());
  checkWritable(options);
  const drivers = inLab
    ? (wanted ?? USUAL_DRIVERS)
    : driversFor(wanted, (name) => which(name) !== undefined);
  const place = await (inLab ? lab(selected, options) : local(selected, options));
  let result: Run | undefined;
  try {
    const workloads = inLab ? selected : await answered(selected, place, asked.length > 0);
    const plan = {
      asked: asked.length > 0 ? asked : [quick ? 'quick' : 'all'],
      workloads,
      drivers,
      rounds: options.rounds ?? (quick ? QUICK.rounds : undefined),
      seconds: options.seconds ?? (quick ? QUICK.seconds : undefined),
    };
    await runBench(place, plan, log, (run) => {
      result = run;
      printRun(run);
    });
  } finally {
    await place.close();
    if (result !== undefined) await keep(result, options);
  }
  if (result?.trials.some(({ error }) => error !== undefined)) process.exitCode = 1;
}

function lab(workloads: readonly Workload[], options: Options): Promise<Place> {
  return openLab({
    keep: options.keep === true,
    applications: workloads.some(({ needs }) => needs?.applications === true),
    onLine: log,
  });
}

async function local(workloads: readonly Workload[], options: Options): Promise<Place> {
  if (process.getuid?.() === 0) {
    throw new CommandError(
      'root has no rootless Podman: run it as the user who runs containers, or "npm run bench" in a clone of sockswitch, for the lab',
    );
  }
  checkPrograms();
  const needed = new Set(workloads.map(({ needs }) => needs?.server));
  needed.delete(undefined);
  if (needed.size > 0 && options.server === undefined) {
    throw new CommandError(`no --server given.\n${HOW_TO_SERVE}`);
  }
  return openLocal({
    server: options.server,
    httpPort: options.httpPort,
    howToServe: HOW_TO_SERVE,
    onLine: log,
  });
}

/** Without those that need an HTTP server where there is none; `named` ones are an error then. */
async function answered(
  workloads: readonly Workload[],
  { server, httpPort }: Place,
  named: boolean,
): Promise<readonly Workload[]> {
  if (workloads.some(({ needs }) => needs?.server === 'iperf3')) await needIperf3(server);
  const useHttp = ({ needs }: Workload) => needs?.server === 'http';
  if (!workloads.some(useHttp) || (await answers(server, httpPort))) return workloads;
  const list = workloads
    .filter(useHttp)
    .map(({ name }) => name)
    .join(', ');
  const problem = `no HTTP server answers at ${server} port ${httpPort}, which ${list} need`;
  if (named) {
    throw new CommandError(
      `${problem}: start one, name its port with --http-port, or name other workloads`,
    );
  }
  log(`${problem}: they are left out`);
  return workloads.filter((workload) => !useHttp(workload));
}

/** Writes what was asked for, and checks the limits. */
async function keep(run: Run, options: Options): Promise<void> {
  if (options.json !== undefined) log(`raw data: ${writeJson(run, options.json)}`);
  if (options.report !== undefined) log(`report: ${await writeReport(run, options.report)}`);
  if (options.check !== true) return;
  const drivers = DRIVERS.filter(({ switches }) => switches).map(({ name }) => name);
  const { checked, problems } = checkLimits(run, drivers);
  for (const problem of problems) log(`below the limit: ${problem}`);
  log(`${checked - problems.length} of ${checked} limits are kept`);
  if (problems.length > 0) process.exitCode = 1;
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new InvalidArgumentError('must be a whole number above 0');
  }
  return value;
}

function log(line: string): void {
  process.stderr.write(`${line}\n`);
}
