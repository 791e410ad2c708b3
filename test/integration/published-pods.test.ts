/** Ports that the containers of a pod publish: they share a network namespace, and each has annotations of its own. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { describeOnLab, eventually, HOST1, HOST2, host1, host2, remote } from './support/lab.js';
import { NETWORKS } from './support/places.js';
import { type Container, ENABLED, startContainer } from './support/podman.js';
import { addressOf, ask, listening, publish, service } from './support/published.js';

const PORT = 8101;

describeOnLab('a pod', () => {
  describe.each(NETWORKS)('on %s', (network) => {
    const pod = `published-${network}`;

    beforeEach(async () => {
      const words = network === 'bridge' ? [] : ['--network', network];
      await host1.output(['podman', 'pod', 'create', '--name', pod, ...words]);
    });
    afterEach(async () => {
      await host1.output(['podman', 'pod', 'rm', '--force', '--time', '0', pod]);
    });

    const member = (annotations: Readonly<Record<string, string>>, command?: readonly string[]) =>
      startContainer({
        ...{ network: '', args: ['--pod', pod], annotations },
        ...(command === undefined ? {} : { command }),
      });
    const serving = (container: Container, from = host2) =>
      eventually('the service to answer', async () => {
        const seen = await ask(from, 'tcp', HOST1.v4, PORT);
        return /Error/.test(seen) ? undefined : `${seen} ${container.name}`;
      });

    test.each([
      ['without annotations', {}],
      ['accelerated', ENABLED],
      ['with the same annotations', publish(`${PORT}:101`)],
    ])("a container's service, seen from others and from one beside it %s", async (_, beside) => {
      const command = service('tcp', '0.0.0.0', '101');
      const web = await member(publish(`${PORT}:101`), command);
      await listening(web);
      const other = await member(beside);
      expect(await ask(host2, 'tcp', HOST1.v4, PORT)).toBe(HOST2.v4);
      expect(await ask(remote, 'tcp', HOST1.v4, PORT)).toMatch(/^10\.77\.0\.1(00)?$/);
      expect(await ask(host1, 'tcp', '127.0.0.1', PORT)).toBe(HOST1.v4);
      for (const address of ['127.0.0.1', await addressOf(web)]) {
        expect(await ask(other, 'tcp', address, 101)).toBe(address);
      }
    });

    test('outlives the restart of its service, and the end of the container beside it', async () => {
      const annotations = publish(`${PORT}:101`);
      const other = await member(annotations);
      const web = await member(annotations, service('tcp', '0.0.0.0', '101'));
      await serving(web);
      await other.remove();
      expect(await ask(host2, 'tcp', HOST1.v4, PORT)).toBe(HOST2.v4);
      await host1.output(['podman', 'restart', '--time', '0', web.id]);
      await serving(web);
      expect(await ask(host2, 'tcp', HOST1.v4, PORT)).toBe(HOST2.v4);
    });

    test('is made and ended as a whole', async () => {
      const web = await member(publish(`${PORT}:101`), service('tcp', '0.0.0.0', '101'));
      await serving(web);
      for (const verb of ['restart', 'stop', 'start']) {
        await host1.output(['podman', 'pod', verb, pod]);
        if (verb === 'stop') {
          expect(await ask(host2, 'tcp', HOST1.v4, PORT)).toBe('ConnectionRefusedError');
        } else {
          expect(await serving(web)).toContain(HOST2.v4);
        }
      }
    });
  });
});
