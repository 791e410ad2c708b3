/**
 * `npm run demo`: the same container on its fallback network, accelerated, and on the host's network, against a remote machine. As
 * root in the lab; as an ordinary user in that user's Podman, with a server on a second machine.
 */
import { Command, InvalidArgumentError } from 'commander';
import { Listr } from 'listr2';
import type { Driver } from './drivers/driver.js';
import { DRIVERS } from './drivers/index.js';
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
import type { Trial } from './report/results.js';
import { metricText, tableOf, terminal } from './report/table.js';
import { catchInterrupts, Interrupted } from './runner/interrupt.js';
import { planTrials } from './runner/plan.js';
import { runTrial } from './runner/trial.js';
import { connectionRate, connectionRateProbe } from './workloads/connections.js';
import { columns } from './workloads/index.js';
import { tcpDown, tcpUp } from './workloads/throughput.js';
import type { Workload } from './workloads/workload.js';

interface Options {
  readonly server?: string;
  readonly httpPort: number;
  readonly rounds: number;
  readonly keep?: boolean;
}

const SECONDS = 2;
const HOW_TO_SERVE = howToServe('the demo', 'npm run demo --', 'npm run demo');
const SHOWN = ['host', 'sockswitch-pasta', 'pasta', 'sockswitch-slirp4netns', 'slirp4netns'];

const program = new Command('npm run demo --')
  .description('Shows what acceleration gives: in the lab as root, in your own Podman otherwise.')
  .option('--server <address>', 'as an ordinary user: a second machine that runs "iperf3 -s"')
  .option('--http-port <port>', 'port of an HTTP server there', wholeNumber, 80)
  .option('--rounds <n>', 'how many times', wholeNumber, 2)
  .option('--keep', 'keep the lab')
  .action(demo);

catchInterrupts(() => process.stderr.write('\ndemo: ending, and cleaning up\n'));
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof Interrupted)) {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}

type Say = (line: string) => void;

interface Step {
  readonly title: string;
  readonly run: (say: Say) => Promise<void>;
}

async function demo(options: Options): Promise<void> {
  const inLab = process.getuid?.() === 0;
  if (inLab && options.server !== undefined) {
    throw new Error(
      '--server is for ordinary users: root has no rootless Podman, and uses the lab',
    );
  }
  if (!inLab) checkPrograms();
  if (!inLab && options.server === undefined)
    throw new Error(`no --server given.\n${HOW_TO_SERVE}`);

  const trials: Trial[] = [];
  let place: Place | undefined;
  let workloads: readonly Workload[] = [];
  const print: Say = (line) => process.stderr.write(`${line}\n`);
  let onLine = print; // while steps run, theirs
  const open = async (say: Say) => {
    onLine = say;
    const follow: Say = (line) => onLine(line);
    if (inLab) {
      place = await openLab({
        keep: options.keep === true,
        applications: false,
        onLine: follow,
      });
      workloads = [tcpUp, tcpDown, connectionRate];
      return;
    }
    place = await openLocal({
      server: options.server ?? '',
      httpPort: options.httpPort,
      howToServe: HOW_TO_SERVE,
      onLine: say,
    });
    await needIperf3(place.server);
    const http = await answers(place.server, place.httpPort);
    workloads = http ? [tcpUp, tcpDown, connectionRateProbe] : [tcpUp, tcpDown];
    if (!http) say(`no HTTP server at port ${place.httpPort}: connections are left out`);
  };
  const measure = async (say: Say, round: number) => {
    if (place === undefined) return;
    const planned = planTrials(workloads, shownDrivers(inLab), options.rounds);
    for (const { workload, driver } of planned.filter((trial) => trial.round === round)) {
      say(`${driver.title}: ${workload.title} ...`);
      const trial = await runTrial(place, workload, driver, round, { seconds: SECONDS });
      trials.push(trial);
      say(`${driver.title}: ${outcome(trial, workload)}`);
    }
  };
  try {
    await runSteps([
      { title: inLab ? 'Start the lab' : 'Prepare your Podman', run: open },
      ...Array.from({ length: options.rounds }, (_, index) => ({
        title: `Measure, round ${index + 1} of ${options.rounds}`,
        run: (say: Say) => measure(say, index + 1),
      })),
    ]);
  } finally {
    onLine = print;
    if (place !== undefined) {
      print('cleaning up');
      await place.close();
    }
    if (trials.length > 0) printResult(trials, workloads, inLab);
  }
  // That another network is overrun (slirp4netns is, by new connections on a fast machine) is a result; the table says it.
  const ours = trials.filter(({ driver }) => driver === 'host' || driver.startsWith('sockswitch'));
  if (ours.some(({ error }) => error !== undefined)) process.exitCode = 1;
}

/** A terminal gets lines that change in place, anything else plain lines. */
async function runSteps(steps: readonly Step[]): Promise<void> {
  await new Listr(
    steps.map(({ title, run }) => ({
      title,
      task: (_context, task) =>
        run((line) => {
          task.output = line;
        }),
      rendererOptions: { outputBar: 1 },
    })),
    { fallbackRenderer: 'simple', registerSignalListeners: false },
  ).run();
}

function shownDrivers(inLab: boolean): readonly Driver[] {
  return DRIVERS.filter(
    ({ name, program: needed }) =>
      SHOWN.includes(name) && (inLab || needed === undefined || which(needed) !== undefined),
  );
}

function outcome(trial: Trial, workload: Workload): string {
  if (trial.error !== undefined) return `FAILED: ${trial.error}`;
  return columns([workload], 'gbits', 'per_second')
    .map(({ metric }) => metric)
    .map((metric) => metricText(metric, trial.metrics?.[metric.name] ?? 0))
    .join(', ');
}

function printResult(
  trials: readonly Trial[],
  workloads: readonly Workload[],
  inLab: boolean,
): void {
  const server = inLab ? 'a second machine of the lab' : 'the server';
  process.stdout.write(
    `\nOne container, between it and ${server}: median, and speed relative to --network=host (range)\n` +
      `${terminal(tableOf(trials, columns(workloads, 'gbits', 'per_second')))}\n`,
  );
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new InvalidArgumentError('must be a whole number above 0');
  }
  return value;
}
