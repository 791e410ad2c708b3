/** The sockswitch daemon of a host: stopping, starting, killing it, and what it holds. */
import { z } from 'zod';
import { eventually, type Host, host1, lab } from './lab.js';

async function verb(action: 'start' | 'stop', host: Host): Promise<void> {
  const result = await lab(['daemon', action, host.name]);
  if (result.status !== 0) throw new Error(`lab daemon ${action} ${host.name}: ${result.stderr}`);
}

export const startDaemon = (host: Host = host1) => verb('start', host);
/** SIGTERM. The keeper stays. */
export const stopDaemon = (host: Host = host1) => verb('stop', host);

/** SIGKILL. Returns when it is gone; `meanwhile` is done after the signal. */
export async function killDaemon(
  host: Host = host1,
  meanwhile: () => Promise<unknown> = async () => undefined,
): Promise<void> {
  const pid = String(await daemonPid(host));
  await host.run(['kill', '-KILL', pid]);
  await meanwhile();
  await host.sh('while kill -0 "$1" 2>/dev/null; do sleep 0.05; done', [pid]);
}

/** As an administrator, or a package, does with the sockswitch-guard of an installation. */
export async function grantGuard(installation: string, host: Host = host1): Promise<void> {
  const program = `${installation}/build/Release/sockswitch-guard`;
  await host.output(['setcap', 'cap_bpf=ep', program], { root: true });
}

/** The lab's own. */
export const GUARD_PROGRAM = '/opt/sockswitch/build/Release/sockswitch-guard';

/** Whether it can be started. */
export async function setGuard(there: boolean): Promise<void> {
  await host1.output(['chmod', there ? '755' : '000', GUARD_PROGRAM], { root: true });
}

export const NAMES_PROGRAM = '/opt/sockswitch/build/Release/sockswitch-names';
const NAMES_CAPABILITIES = 'cap_bpf,cap_net_admin=ep';

/** Whether the lab's sockswitch-names has its capabilities. */
export async function setNames(capable: boolean): Promise<void> {
  const change = capable ? [NAMES_CAPABILITIES] : ['-r'];
  await host1.output(['setcap', ...change, NAMES_PROGRAM], { root: true });
}

const statusSchema = z.object({
  pid: z.int(),
  uptimeSeconds: z.number(),
  containers: z.int(),
  listeners: z.int(),
  unaccelerated: z.string().optional(),
  hostNames: z.string().optional(),
  staysPinned: z.string().optional(),
  keeper: z.object({ connected: z.boolean() }),
  kernel: z.object({ socketGuard: z.boolean() }),
});

export async function daemonStatus(host: Host = host1): Promise<z.infer<typeof statusSchema>> {
  return statusSchema.parse(JSON.parse(await host.output(['sockswitch', 'status', '--json'])));
}

export async function daemonPid(host: Host = host1): Promise<number> {
  return (await daemonStatus(host)).pid;
}

/** The thread ids of its listeners. */
export async function listenerThreads(): Promise<Set<string>> {
  const script = 'cd "/proc/$1/task" && grep --files-with-matches ssw-listener */comm; true';
  const found = await host1.sh(script, [String(await daemonPid())], { root: true });
  return new Set(found.stdout.split('\n').map((path) => path.replace('/comm', '')));
}

/** The thread of the one listener that has come since `before`. */
export async function newListenerThread(before: ReadonlySet<string>): Promise<string> {
  return eventually('a listener thread of its own', async () => {
    const now = [...(await listenerThreads())].filter((tid) => !before.has(tid));
    return now.length === 1 ? now[0] : undefined;
  });
}

/**
 * Kills the daemon while a thread of it is about to make a system call, or has made it, and starts another. `begin` brings it
 * there, and nothing else of the container may.
 */
export async function killDaemonAt(
  thread: string,
  when: 'before' | 'after',
  call: string,
  begin: () => Promise<unknown>,
): Promise<void> {
  const status = `/proc/${await daemonPid()}/task/${thread}/status`;
  const delay = `inject=${call}:delay_${when === 'before' ? 'enter' : 'exit'}=8s`;
  const strace = await host1.serve(
    ['strace', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', delay, '-p', thread],
    `test "$(awk '/TracerPid/ {print $2}' ${status})" -ne 0`,
    { root: true },
  );
  await begin();
  await eventually(`the thread at ${call}`, async () =>
    (await host1.output(['cat', status])).includes('(tracing stop)') ? true : undefined,
  );
  // A process that strace holds does not end.
  await killDaemon(host1, strace.stop);
  await startDaemon();
}

export async function keeperPid(host: Host = host1): Promise<number> {
  const script = 'pgrep --full -- "--runtime-dir $XDG_RUNTIME_DIR/sockswitch( |$)"';
  return Number((await host.output(['sh', '-c', script])).trim());
}

/** How many bytes of log there are, to look at what comes after. */
export async function logSize(host: Host = host1): Promise<number> {
  return Number(await host.output(['stat', '--format=%s', 'sockswitch-daemon.log']));
}

/** The log from a byte on. */
export async function logSince(size: number, host: Host = host1): Promise<string> {
  return host.output(['tail', '-c', `+${size + 1}`, 'sockswitch-daemon.log']);
}
