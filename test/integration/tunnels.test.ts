/**
 * Tunnels that are carried (docs/tunnels.md), between a container on host1 and one on host2: what is on the underlay
 * goes there, what cannot be falls back, and a stranger gets nothing.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { daemonPid, killDaemon, startDaemon } from './support/daemon.js';
import { describeOnLab, HOST1, HOST2, host1, host2, remote } from './support/lab.js';
import {
  carried,
  fallenBack,
  type Node,
  PORT,
  removeNodes,
  startNodes,
  tunnelsOf,
} from './support/tunnels.js';

const MEBIBYTE = 1024 * 1024;

/** Sends 8 MiB from the first node's pod to the second's. */
async function transfer(near: Node, far: Node): Promise<void> {
  await far.serveIperf();
  const iperf = await near.inPod(`iperf3 --client ${far.pod} --bytes 8M --json`);
  expect(iperf.status, iperf.stdout).toBe(0);
}

async function sent(node: Node): Promise<number> {
  return (await node.tunnels())?.peers[0]?.sentBytes ?? 0;
}

async function explained({ container, host }: Node, destination: string): Promise<string> {
  return host.output(['sockswitch', 'explain', container.name, destination]);
}

/** Rules and interfaces of ours in a node. */
async function traces({ container }: Node): Promise<string> {
  return container.output(['sh', '-c', 'ip rule; ip -6 rule; ip -br link']);
}

describeOnLab('tunnels', () => {
  describe('a flannel-like VXLAN on pasta', () => {
    let nodes: readonly [Node, Node];
    beforeAll(async () => {
      nodes = await startNodes();
    });
    afterAll(() => removeNodes(nodes));

    test('is carried, in both directions', async () => {
      const [near, far] = nodes;
      await carried(near);
      await carried(far);
      const before = await sent(near);
      await transfer(near, far);
      await expect.poll(() => sent(near)).toBeGreaterThan(before + 8 * MEBIBYTE);
      const back = (await far.tunnels())?.sources[0];
      expect(back?.address).toBe(HOST1.v4);
      expect(back?.receivedBytes).toBeGreaterThan(8 * MEBIBYTE);
      const ping = await far.inPod(`ping -q -c 3 -i 0.2 ${near.pod}`);
      expect(ping.status, ping.stdout).toBe(0);
    });

    test('is shown by ps, explain and metrics', async () => {
      const [near] = nodes;
      expect(await tunnelsOf(near.container)).toMatchObject({ up: 1, fallback: 0, reasons: [] });
      const text = await host1.output(['sockswitch', 'ps']);
      expect(text.split('\n').find((line) => line.includes(near.container.name))).toContain('1 up');
      expect(await explained(near, `${HOST2.v4}:${PORT}/udp`)).toMatch(
        /^Tunnel packets of flannel\.1 \(vxlan\) to UDP 10\.77\.0\.12:8472 are carried .* since /,
      );
      const socket = '$XDG_RUNTIME_DIR/sockswitch/metrics.sock';
      const { stdout: metrics } = await host1.sh(
        `curl -sS --unix-socket "${socket}" http://localhost/metrics`,
      );
      const of = (direction: string) =>
        `{container="${near.container.id}",peer="${HOST2.v4}:${PORT}",direction="${direction}"}`;
      const value = (series: string) =>
        Number(
          metrics
            .split('\n')
            .find((line) => line.startsWith(`${series} `))
            ?.split(' ')[1],
        );
      expect(value(`sockswitch_tunnel_bytes_total${of('sent')}`)).toBeGreaterThan(8 * MEBIBYTE);
      expect(value(`sockswitch_tunnel_payloads_total${of('received')}`)).toBeGreaterThan(0);
      const up = `sockswitch_tunnel_peers{container="${near.container.id}",state="up"}`;
      expect(value(up)).toBe(1);
      expect(await explained(near, `192.0.2.1:${PORT}/udp`)).toContain('it is no remote');
      expect(await explained(near, `${HOST2.v4}:53/udp`)).toContain('Rule: socket-type.');
      expect(await explained(near, `${HOST2.v4}:${PORT}`)).toContain('Rule: switched.');
    });

    test('strangers on the TCP port get nothing in', async () => {
      const [, far] = nodes;
      const pid = await daemonPid(host2);
      const script = `
import os, socket, struct
magic = b'sockswitch\\0\\0'
hello = struct.pack('!BBHHHHHHBB', 1, 0, 32, 0, 0, 0, 0, 0, 0, 0) + magic + struct.pack('!HH', 1, 0) + bytes(16)
payload = struct.pack('!BBHHHHHHBB', 6, 0, 64, 4242, 0, 0, 0, 0, 0, 0) + bytes([8]) + bytes(63)
wrong = struct.pack('!BBHHHHHHBB', 1, 0, 32, 0, 0, 0, 0, 0, 0, 0) + magic + struct.pack('!HH', 9, 0) + bytes(16)
answers = []
for first in (os.urandom(4096), payload, hello + payload, hello, wrong, hello[:20], b''):
    s = socket.create_connection(('${HOST2.v4}', ${PORT}))
    s.settimeout(12)
    try:
        s.sendall(first)
        got = s.recv(1000)
        answers.append(got[:1])
        s.sendall(payload)
        while s.recv(1000): pass
    except OSError as error:
        answers.append(type(error).__name__.encode())
flood = [socket.create_connection(('${HOST2.v4}', ${PORT})) for _ in range(200)]
print(answers)`;
      const strange = await remote.run(['python3', '-c', script]);
      expect(strange.status, strange.stderr).toBe(0);
      // Nobody was told that a way is proved.
      expect(strange.stdout).not.toContain("b'\\x04'");
      expect(await daemonPid(host2)).toBe(pid);
      const sources = (await far.tunnels())?.sources ?? [];
      expect(sources.map(({ address }) => address)).toEqual([HOST1.v4]);
      await carried(nodes[0]);
    });

    test('goes on over the fallback network when a daemon is killed, and comes back', async () => {
      const [near, far] = nodes;
      await far.serveIperf();
      const running = near.inPod(`iperf3 --client ${far.pod} --time 8 --json`);
      await expect.poll(() => sent(near)).toBeGreaterThan(MEBIBYTE);
      await killDaemon(host2);
      expect(await fallenBack(near)).toMatch(/reset|closed|no sockswitch/);
      const events = await host1.output(['sockswitch', 'events']);
      const peer = `${near.container.id.slice(0, 12)}: ${HOST2.v4}:${PORT}`;
      expect(events).toContain(`tunnel-up ${peer}\n`);
      expect(events).toContain(`tunnel-down ${peer}: `);
      // Not by ip(8), whose bind waits for a daemon.
      expect(await far.container.output(['cat', '/proc/net/dev'])).not.toContain('ssw');
      await startDaemon(host2);
      await carried(near);
      await carried(far);
      const iperf = await running;
      expect(iperf.status, iperf.stdout).toBe(0);
      const rules = await far.container.output(['ip', 'rule', 'show']);
      expect(rules.match(/dport 8472/g)).toHaveLength(1);
    });

    test('what the container does to tap and route ends at its own tunnel', async () => {
      const [near, far] = nodes;
      await near.container.output(['sh', '-c', 'ip link set ssw0 down; ip link delete ssw0']);
      await near.container.output(['sh', '-c', 'ip rule delete priority 30000 || true']);
      const ping = await near.inPod(`ping -q -c 1 -w 20 ${far.pod}`);
      expect(ping.status, ping.stdout).toBe(0);
      await carried(near);
    });

    test('ends where its peer is ignored, and leaves nothing behind when it is turned off', async () => {
      const [near] = nodes;
      await carried(near);
      const config = '"$HOME/.config/sockswitch/config.toml"';
      try {
        await host1.output(['bash', '-c', `echo 'ignore = ["${HOST2.v4}"]' >${config}`]);
        expect(await fallenBack(near)).toContain('ignored');
        await host1.output(['bash', '-c', `echo 'tunnels = false' >${config}`]);
        await expect.poll(() => traces(near), { timeout: 30_000 }).not.toMatch(/ssw|8472/);
        const reason = 'tunnels are turned off in the configuration';
        expect((await near.tunnels())?.reason).toBe(reason);
        expect(await tunnelsOf(near.container)).toMatchObject({
          up: 0,
          fallback: 0,
          reasons: [reason],
        });
        expect(await explained(near, `${HOST2.v4}:${PORT}/udp`)).toContain(reason);
      } finally {
        await host1.output(['bash', '-c', `rm ${config}`]);
      }
      await carried(near);
    });
  });

  test('slirp4netns and runc', async () => {
    const nodes = await startNodes({ network: 'slirp4netns', runtime: 'runc' });
    const [near, far] = nodes;
    await carried(near);
    await carried(far);
    await transfer(near, far);
    await removeNodes(nodes);
  });

  test('IPv6 outside', async () => {
    const nodes = await startNodes({}, 'v6');
    const [near, far] = nodes;
    await carried(near);
    await carried(far);
    await transfer(near, far);
    await removeNodes(nodes);
  });

  test('a device with a default remote', async () => {
    const nodes = await startNodes({}, 'v4', {}, 'remote');
    const [near, far] = nodes;
    await carried(near);
    await carried(far);
    await transfer(near, far);
    await expect.poll(() => sent(near)).toBeGreaterThan(8 * MEBIBYTE);
    await removeNodes(nodes);
  });

  test('a default remote that is bound to an interface: the fallback network, with the reason', async () => {
    const nodes = await startNodes({}, 'v4', {}, 'bound-remote');
    const [near, far] = nodes;
    expect(await fallenBack(near)).toContain('by one interface only');
    expect(await explained(near, `${HOST2.v4}:${PORT}/udp`)).toContain('by one interface only');
    await transfer(near, far);
    expect(await sent(near)).toBe(0);
    await removeNodes(nodes);
  });

  test('a peer that carries none: the fallback network, with the reason', async () => {
    const nodes = await startNodes({}, 'v4', { 'sockswitch/tunnels': 'false' });
    const [near, far] = nodes;
    const reason = 'no sockswitch with tunnels listens there';
    expect(await fallenBack(near)).toContain(reason);
    expect(await explained(near, `${HOST2.v4}:${PORT}/udp`)).toContain(reason);
    expect(await host1.output(['sockswitch', 'ps'])).toMatch(
      /Tunnels on the fallback network:\n {2}[0-9a-f]{12}: 10\.77\.0\.12:8472: TCP .* listens there/,
    );
    const doctor = await host1.output(['sockswitch', 'doctor']);
    expect(doctor).toMatch(/note {4}a tunnel of container .* is on the fallback network: .* TCP /);
    await transfer(near, far);
    expect(await sent(near)).toBe(0);
    await removeNodes(nodes);
  });
});
