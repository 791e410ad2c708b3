/** Socket options that a program set before it connects: all there afterwards, or the socket is not switched. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOnLab, host1 } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import {
  type Container,
  difference,
  ENABLED,
  podmanRun,
  startContainer,
} from './support/podman.js';

const probe = (name: string) => readFileSync(new URL(`./probes/${name}`, import.meta.url), 'utf8');
const PROBE = probe('options.py');

function lines(output: string): readonly string[] {
  return output.trim().split('\n');
}

describeOnLab('socket options', () => {
  let accelerated: Container;
  beforeAll(async () => {
    accelerated = await startContainer({ annotations: ENABLED });
  });
  afterAll(() => accelerated.remove());

  async function inContainer(list: 'carried' | 'kept-back') {
    const before = await countersOf(accelerated);
    const output = await accelerated.output(['python3', '-', list], { stdin: PROBE });
    return { read: lines(output), moved: difference(before, await countersOf(accelerated)) };
  }

  test('what can be read back is carried over', async () => {
    const command = ['python3', '-', 'carried'];
    const host = await podmanRun({ network: 'host', command, stdin: PROBE });
    expect(host.status, host.stderr).toBe(0);
    const { read, moved } = await inContainer('carried');
    expect(read).toEqual(lines(host.stdout));
    expect(read.length).toBeGreaterThan(45);
    expect(moved).toMatchObject({ switched: read.length, fallback: 0 });
  });

  test("what is not set is as the container's namespace has it", async () => {
    const sysctls = {
      'net.ipv4.ip_local_port_range': '40000 40100',
      'net.ipv4.tcp_syn_retries': '3',
      'net.ipv4.tcp_keepalive_time': '77',
      'net.ipv4.tcp_keepalive_intvl': '7',
      'net.ipv4.tcp_keepalive_probes': '5',
      'net.ipv4.ip_default_ttl': '33',
      'net.ipv4.tcp_congestion_control': 'reno',
    };
    const args = Object.entries(sysctls).map(([name, value]) => `--sysctl=${name}=${value}`);
    const container = await startContainer({ annotations: ENABLED, args });
    const before = await countersOf(container);
    const output = await container.output(['python3', '-'], { stdin: probe('sysctls.py') });
    expect(lines(output)).toEqual(['True 3 77 7 5 33 reno', 'True 3 77 7 5 33 reno']);
    const moved = difference(before, await countersOf(container));
    expect(moved).toMatchObject({ switched: 40, fallback: 0 });
    await container.remove();
  });

  test('what cannot be is a reason not to switch', async () => {
    const { read, moved } = await inContainer('kept-back');
    expect(read.filter((line) => line.includes('not set'))).toEqual([]);
    expect(moved).toMatchObject({ switched: 0, reasons: { 'socket-option': read.length } });
  });

  test('what one thread sets while another one connects is there afterwards', async () => {
    const tries = 400;
    // Of its own: no rare option has been set in it before.
    const container = await startContainer({ annotations: ENABLED });
    const before = await countersOf(container);
    const stdin = probe('option_race.py');
    const output = await container.output(['python3', '-', String(tries)], { stdin });
    expect(output.trim()).toBe(`${tries} {}`);
    const moved = difference(before, await countersOf(container));
    expect(moved).toMatchObject({ switched: tries, fallback: 0 });
    await container.remove();
  });

  test('a socket that came from outside keeps what was set there', async () => {
    const shared = (await host1.output(['mktemp', '--directory'])).trim();
    const container = await startContainer({
      annotations: ENABLED,
      args: [`--volume=${shared}:/shared`],
    });
    const inspect = ['podman', 'inspect', '--format', '{{.State.Pid}}', container.id];
    const pid = (await host1.output(inspect)).trim();
    await host1.serve(
      [
        ...['podman', 'unshare', 'nsenter', `--net=/proc/${pid}/ns/net`],
        ...['python3', '-c', probe('foreign_socket.py'), 'give', `${shared}/socket`],
      ],
      `test -S ${shared}/socket`,
    );
    const before = await countersOf(container);
    const stdin = probe('foreign_socket.py');
    const output = await container.output(['python3', '-', 'take', '/shared/socket'], { stdin });
    expect(output.trim()).toBe('61 5');
    const moved = difference(before, await countersOf(container));
    expect(moved).toMatchObject({ switched: 1, fallback: 0 });
    await container.remove();
    await host1.run(['rm', '-rf', shared]);
  });
});
