/** The host with its victims, the witness on remote, and containers that can run the attack programs. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { inject } from 'vitest';
import {
  HOST1,
  type Host,
  host1,
  LAB_PROGRAM,
  listens,
  REMOTE,
  type Result,
  remote,
} from '../../integration/support/lab.js';
import {
  type Container,
  type ContainerOptions,
  startContainer,
} from '../../integration/support/podman.js';
import type { Attack } from '../catalogue.js';
import { PROGRAMS } from './build.js';
import { type Outcome, parseOutcome } from './outcome.js';

export const TRIES = 100_000;
/** Without acceleration nothing is trapped: there is no race to win. */
export const TRIES_WITHOUT = 2_000;
/** The programs end by themselves; this is for what hangs. */
export const PATIENCE_MS = 170_000;

/** Where the programs are on the host and in containers. */
export const ON_HOST = 'sockswitch-attacks';
const IN_CONTAINER = '/attacks';
export const VOLUME = ['-v', `./${ON_HOST}:${IN_CONTAINER}:ro`] as const;

const ENVIRONMENT = {
  HOST4: HOST1.v4,
  HOST6: HOST1.v6,
  /** host.containers.internal where pasta leads there (Podman 5.3); elsewhere nobody has it. */
  HOST_INTERNAL: '169.254.1.2',
  REMOTE4: REMOTE.v4,
  REMOTE6: REMOTE.v6,
  SILENT4: '10.98.0.1',
  SILENT6: 'fd98::1',
} as const;

/** Puts the programs where VOLUME has them. */
export async function copyPrograms(to: Host): Promise<void> {
  const archive = await execa('tar', ['-C', PROGRAMS, '-c', '.'], { encoding: 'buffer' });
  const unpack = `mkdir -p ${ON_HOST} && tar -C ${ON_HOST} -x`;
  await execa(LAB_PROGRAM, ['exec', to.name, '--', 'sh', '-c', unpack], {
    env: { LAB_NAME: inject('lab').name },
    input: archive.stdout,
  });
}

/** Copies the programs to the host and starts victims and witness. */
export async function setStage(): Promise<void> {
  await copyPrograms(host1);
  const script = (name: string) =>
    readFileSync(fileURLToPath(new URL(name, import.meta.url)), 'utf8');
  await host1.serve(['python3', '-c', script('host.py'), HOST1.v4, HOST1.v6], listens(18003));
  await remote.serve(['python3', '-c', script('remote.py'), HOST1.v4, HOST1.v6], listens(18003));
}

export async function clearStage(): Promise<void> {
  await Promise.all([host1.stopServers(), remote.stopServers()]);
}

/** Waits until the fallback network has IPv6, which both have in the lab. */
const WAIT_FOR_V6 =
  'for try in $(seq 100); do ip -6 route show default | grep -q . && ! ip -6 address show tentative | grep -q . && exit; sleep 0.1; done';

export async function startTarget(options: ContainerOptions): Promise<Container> {
  const container = await startContainer({
    ...options,
    args: [...(options.args ?? []), ...VOLUME],
  });
  await container.sh(WAIT_FOR_V6);
  return container;
}

/** The command line of an attack, in a container that has the programs. */
export function attackCommand(attack: Attack, tries: number): string[] {
  const environment = Object.entries({ ...ENVIRONMENT, TRIES: String(tries) });
  return [
    'env',
    ...environment.map(([name, value]) => `${name}=${value}`),
    `${IN_CONTAINER}/${attack.program}`,
    ...(attack.arguments ?? []),
  ];
}

export async function attackIn(
  container: Container,
  attack: Attack,
  accelerated: boolean,
): Promise<Outcome> {
  return outcomeOf(
    attack,
    await container.exec(attackCommand(attack, accelerated ? TRIES : TRIES_WITHOUT), {
      timeout: PATIENCE_MS,
    }),
  );
}

export function outcomeOf(attack: Attack, result: Result): Outcome {
  if (result.status === 0) return parseOutcome(result.stdout);
  throw new Error(`${attack.id} ended with ${result.status}\n${result.stdout}${result.stderr}`);
}

/** Runs a shell script before the command, in the container's own process. */
export function afterNetworkIsUp(command: readonly string[]): string[] {
  return ['bash', '-c', `(${WAIT_FOR_V6}); exec "$@"`, 'bash', ...command];
}
