/**
 * A container whose files hang whoever touches them: the thread that serves its calls waits in the kernel, where no signal
 * reaches it. Other containers, and the daemon's end and restart, do not.
 */
import { readFileSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { daemonPid, startDaemon } from './support/daemon.js';
import { describeOnLab, eventually, FAR, host1 } from './support/lab.js';
import { ENABLED, eventuallyCounters, logged, startContainer } from './support/podman.js';

const SERVER = readFileSync(new URL('./probes/fuse_hang.py', import.meta.url), 'utf8');
const CURL = `curl -s -o /dev/null -w '%{http_code}\\n' --max-time 20 http://${FAR.v4}/`;

describeOnLab('a container that hangs its listener', () => {
  afterAll(() => startDaemon());

  test('holds up neither others nor a restart', async () => {
    const other = await startContainer({ annotations: ENABLED });
    const hanging = await startContainer({
      annotations: ENABLED,
      args: ['--device=/dev/fuse', '--cap-add=SYS_ADMIN'],
      // Not as the first process: at its end the kernel would wait for the file before it ends the server.
      command: ['bash', '-c', 'python3 -c "$1"; true', 'bash', SERVER],
    });
    await logged(hanging, 'mounted');
    expect((await other.sh(CURL)).stdout).toBe('200\n');
    // Without anybody who would kill it: it has to let go of the keeper by itself.
    const pid = await daemonPid();
    await host1.output(['sockswitch', 'stop', '--force']);
    // What the kernel keeps of it has no command line.
    await eventually('the end of the daemon', async () =>
      (await host1.sh('cat "/proc/$1/cmdline"', [String(pid)])).stdout === '' ? true : undefined,
    );
    await startDaemon();
    expect((await other.sh(CURL)).stdout).toBe('200\n');
    await eventuallyCounters(other, ({ switched }) => switched >= 1);
    // Both are served again, and the end of the one that hangs is the end of the waiting.
    await eventuallyCounters(hanging, () => true);
    await hanging.remove();
    expect((await other.sh(CURL)).stdout).toBe('200\n');
  });
});
