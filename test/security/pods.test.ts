/**
 * Attacks from a pod, and by the node on its pods, with `sockswitch/pods=egress` (docs/threat-model.md). In a node without
 * acceleration and in an accelerated one, which may differ in what sockets are, and in nothing that is reached.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describeOnLab, FAR, HOST1, PUBLIC, REMOTE } from '../integration/support/lab.js';
import { MAKE_IPV6, startNode } from '../integration/support/node.js';
import { ENABLED } from '../integration/support/podman.js';

const ATTACK = readFileSync(new URL('./attacks/pods.py', import.meta.url), 'utf8');
const ATTACK_IPV6 = readFileSync(new URL('./attacks/pods_ipv6.py', import.meta.url), 'utf8');
const ROUNDS = 25;
const KINDS_OF_CHANGES = 4;

describeOnLab('attacks from pods', () => {
  test.each(['pasta', 'slirp4netns', 'bridge'])('on %s', { timeout: 300_000 }, async (network) => {
    const attack = async (annotations: Readonly<Record<string, string>>) => {
      const node = await startNode({ network, annotations });
      const words = [PUBLIC.v4, FAR.v4, REMOTE.v4, HOST1.v4, String(ROUNDS)];
      const text = await node.output(['python3', '-', ...words], { stdin: ATTACK });
      await node.remove();
      return JSON.parse(text);
    };
    const plain = await attack({});
    const found = await attack({ ...ENABLED, 'sockswitch/pods': 'egress 10.99.0.0/16' });
    expect(found).toMatchObject({
      public: ['connected', 'host'],
      refused: ['Connection refused', 'host'],
      // What takes a host socket's place is the pod's.
      disconnected: 'pod1',
      bound: 'pod1',
      listening: 'pod1',
      interfaces: plain.interfaces,
      // A new connect on a host socket, reported and not.
      private: [plain.private[0], 'pod1'],
      lan: [plain.lan[0], 'pod1'],
      host: [plain.host[0], 'pod1'],
      loopback: [plain.loopback[0], 'pod1'],
      'private unreported': ['host', 'timed out'],
      'lan unreported': ['host', 'timed out'],
      'host unreported': ['host', 'timed out'],
      'loopback unreported': ['host', expect.not.stringMatching('connected')],
      'public unreported': 'connected',
      listed: ['Connection refused', 'host'],
      'from listed to listed': ['host', 'connected'],
      'from listed to public': ['host', 'timed out'],
      'from listed to lan': ['host', 'timed out'],
      'from listed to host': ['host', 'timed out'],
      'from listed to loopback': ['host', expect.not.stringMatching('connected')],
      // Sockets in another pod's hands, and threads in another namespace.
      given: [expect.not.stringMatching('connected'), 'pod2'],
      'of pod2 in pod1': [plain['of pod2 in pod1'][0], 'pod2'],
      // It is pod1's, whoever has it.
      'of pod1 in pod2': [plain['of pod1 in pod2'][0], 'host'],
      'in pod2': plain['in pod2'],
    });
    expect(plain['in pod2']).not.toBe('connected');
    const [switched, reached] = found.changed;
    expect(plain.changed[1]).toEqual([]);
    expect(reached).toEqual([]);
    expect(switched).toBeGreaterThan((ROUNDS * KINDS_OF_CHANGES) / 2);
  });

  test('over IPv6', async () => {
    const node = await startNode({ annotations: { ...ENABLED, 'sockswitch/pods': 'egress' } });
    await node.output(['bash', '-c', MAKE_IPV6]);
    const closed = [FAR.v6, REMOTE.v6, HOST1.v6, '::1', `::ffff:${FAR.v4}`, `::ffff:${PUBLIC.v4}`];
    const words = [PUBLIC.v6, ...closed];
    const text = await node.output(['python3', '-', ...words], { stdin: ATTACK_IPV6 });
    await node.remove();
    const refused = ['Connection refused', 'host'];
    const found = JSON.parse(text);
    expect(found[PUBLIC.v6]).toEqual([...refused, 'connected']);
    for (const address of closed) {
      expect(found[address]).toEqual([...refused, 'timed out']);
    }
  });
});
