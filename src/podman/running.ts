/** Which containers run, as Podman says. */
import { execa } from 'execa';

const PODMAN_TIMEOUT_MS = 20_000;

/** Ids of all containers that run or are paused; undefined where Podman does not say. Takes about 0.1 s. */
export async function runningContainers(): Promise<ReadonlySet<string> | undefined> {
  const lines = await listed('--quiet', '--no-trunc');
  return lines === undefined ? undefined : new Set(lines);
}

/** The first process of each; none where Podman does not say. */
export async function runningProcesses(): Promise<readonly number[]> {
  const lines = (await listed('--format', '{{.Pid}}')) ?? [];
  return lines.map(Number).filter((pid) => Number.isInteger(pid) && pid > 0);
}

async function listed(...words: readonly string[]): Promise<readonly string[] | undefined> {
  const { exitCode, stdout } = await execa('podman', ['ps', ...words], {
    reject: false,
    stdin: 'ignore',
    timeout: PODMAN_TIMEOUT_MS,
  });
  return exitCode === 0 ? stdout.split('\n').filter((line) => line !== '') : undefined;
}
