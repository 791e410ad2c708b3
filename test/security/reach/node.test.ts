/** A Kubernetes node in a container: what its pods and its services reach. kube-proxy and the node's firewall are imitated by rules. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDaemon, stopDaemon } from '../../integration/support/daemon.js';
import { describeOnLab, eventually, FAR, host1, REMOTE } from '../../integration/support/lab.js';
import { RUNTIMES } from '../../integration/support/places.js';
import { type Container, ENABLED, ps, startContainer } from '../../integration/support/podman.js';
import { VOLUME } from '../support/stage.js';
import { destinations, PORT } from './destinations.js';
import { change, example } from './examples.js';
import { expectEqualReach } from './expect.js';
import { clearReachStage, setReachStage } from './stage.js';

/** The first process: a pod that may not reach far and tries all the time; the node itself tries when it is asked to. */
const NODE = `
${change('a pod that the node shuts in').inside}
nsenter --net=/run/netns/pod sh -c 'while :; do /attacks/reach probe 300 far,${FAR.v4},${PORT}; sleep 0.2; done' >/tmp/pod.log 2>&1 &
while :; do
  if [ -e /tmp/ask ]; then rm /tmp/ask; /attacks/reach probe 3000 far,${FAR.v4},${PORT} >>/tmp/node.log; fi
  sleep 0.05
done`;

async function logOf(container: Container, who: 'pod' | 'node'): Promise<readonly string[]> {
  const { stdout } = await container.exec(['cat', `/tmp/${who}.log`]);
  return stdout.split('\n').filter((line) => line !== '');
}

/** Waits for lines that the client has begun to write after now. */
async function newLines(container: Container, who: 'pod' | 'node', count: number) {
  const before = (await logOf(container, who)).length;
  if (who === 'node') await container.output(['touch', '/tmp/ask']);
  return eventually(`${count} lines of the ${who}`, async () => {
    const lines = await logOf(container, who);
    return lines.length >= before + count ? lines.slice(before) : undefined;
  });
}

describeOnLab('a Kubernetes node', () => {
  beforeAll(setReachStage);
  afterAll(clearReachStage);

  describe.each(RUNTIMES)('with %s', (runtime) => {
    test.each(['pasta', 'bridge'])(
      'on %s: a rule of the node shuts a pod in, also when the daemon is restarted while the pod connects',
      async (network) => {
        const args = ['--privileged', ...VOLUME];
        const command = ['sh', '-c', NODE];
        const place = { network, runtime, args, command };
        const plain = await startContainer(place);
        // The rule that shuts the pod in is a packet filter of the node's own.
        const annotations = { ...ENABLED, 'sockswitch/firewall': 'ignore' };
        const node = await startContainer({ ...place, annotations });
        const expectShutIn = async (container: Container) => {
          for (const line of await newLines(container, 'pod', 4)) expect(line).toMatch(/^1 far - /);
          const [own] = await newLines(container, 'node', 1);
          expect(own, 'the node itself').toMatch(new RegExp(`^1 far remote/${FAR.v4}<`));
        };
        await expectShutIn(plain);
        await expectShutIn(node);
        for (let time = 0; time < 2; time++) {
          await stopDaemon();
          // It is a call of the pod that the next daemon finds first.
          await host1.output(['sleep', '1']);
          await startDaemon();
          const before = await node.counters();
          await expectShutIn(node);
          const switched = async () =>
            ((await node.counters())?.switched ?? 0) > (before?.switched ?? 0);
          await eventually('the node itself is accelerated', async () =>
            (await switched()) ? true : undefined,
          );
        }
        await Promise.all([plain.remove(), node.remove()]);
      },
    );
  });

  describe.each([
    ['iptables', 'iptables-nft, redirection'],
    ['iptables-legacy', 'iptables-legacy, redirection'],
    ['nftables', 'nft service address'],
    ['nftables, by a map', 'nft service addresses in a map'],
  ])('service addresses by %s', (_, rules) => {
    test.each(['pasta', 'slirp4netns', 'bridge'])('on %s are answered', async (network) => {
      const { plain } = await expectEqualReach(example(network, rules, { rights: 'privileged' }));
      expect(plain['1 cluster-ip']).toEqual([expect.stringMatching(`^remote/${FAR.v4}<`)]);
    });

    test('are answered with sockswitch/firewall=ignore, too, and what is outside is accelerated', async () => {
      const annotations = { 'sockswitch/firewall': 'ignore' };
      for (const moment of ['before', 'after'] as const) {
        const node = example('pasta', rules, { rights: 'privileged', annotations, moment });
        const { plain, switched } = await expectEqualReach(node);
        const round = moment === 'before' ? 1 : 2;
        expect(plain[`${round} cluster-ip`]).toEqual([expect.stringMatching(`^remote/${FAR.v4}<`)]);
        if (switched !== undefined) expect(switched).toBeGreaterThan(5);
      }
    });
  });

  test('pods by podman kube play reach what they reach without', async () => {
    const play = async (name: string, annotated: boolean) => {
      const yaml = `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  labels: { reach: "" }
  annotations: { sockswitch/enable: "${annotated}" }
spec:
  containers:
    - name: one
      image: localhost/lab:latest
      imagePullPolicy: Never
      command: [sleep, infinity]
      volumeMounts: [{ name: programs, mountPath: /attacks, readOnly: true }]
  volumes:
    - name: programs
      hostPath: { path: /home/lab/sockswitch-attacks, type: Directory }
`;
      await host1.output(['podman', 'kube', 'play', '-'], { stdin: yaml });
      const probe = ['/attacks/reach', 'probe', '3000', ...destinations(undefined)];
      const text = await host1.output(['podman', 'exec', `${name}-one`, ...probe]);
      return text.replace(/ - .*/g, ' -');
    };
    const plain = await play('reach-play-plain', false);
    expect(plain).toContain(`1 lan remote/${REMOTE.v4}<`);
    expect(await play('reach-play-accelerated', true)).toBe(plain);
    expect((await ps()).containers.some(({ counts }) => counts.switched > 5)).toBe(true);
    for (const name of ['reach-play-plain', 'reach-play-accelerated']) {
      await host1.output(['podman', 'pod', 'rm', '--force', '--time', '0', name]);
    }
  });
});
