/** Containers by the names that Kubernetes gives them, and what is told of a node's pods. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeOnLab, host1, REMOTE } from './support/lab.js';
import { type Container, ENABLED, ps, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';

/** As containerd writes them. */
const NAMED = {
  'io.kubernetes.cri.container-type': 'container',
  'io.kubernetes.cri.sandbox-namespace': 'default',
  'io.kubernetes.cri.sandbox-name': 'web-0',
  'io.kubernetes.cri.container-name': 'nginx',
};
const NAME = 'default/web-0/nginx';
/** Three connects in two namespaces. */
const PODS = `
for pod in one two; do ip netns add $pod; done
for pod in one two one; do
  nsenter --net=/run/netns/$pod python3 -c 'import socket; socket.socket().connect_ex(("192.0.2.1", 1))'
done`;

describeOnLab("Kubernetes's names", () => {
  let node: Container;
  const sockswitch = (...words: string[]) => host1.output(['sockswitch', ...words]);

  beforeAll(async () => {
    const args = ['--privileged'];
    node = await startContainer({ args, annotations: { ...ENABLED, ...NAMED } });
    await node.output(curl(REMOTE.v4));
    await node.output(['bash', '-c', PODS]);
  });
  afterAll(() => node.remove());

  test('shown, with what came from the pods', async () => {
    const short = node.id.slice(0, 12);
    const shown = await sockswitch('ps');
    expect(shown).toMatch(new RegExp(`^${short} +${NAME} `, 'm'));
    expect(shown).toContain(`${short}: 3 connections of 2 namespaces`);
    expect(await sockswitch('events')).toContain(`container started: ${NAME}`);
    const row = (await ps()).containers.find(({ id }) => id === node.id);
    expect(row).toMatchObject({
      kubernetes: { namespace: 'default', pod: 'web-0', container: 'nginx' },
      nested: { networks: 2, connects: 3 },
    });
  });

  test('typed', async () => {
    const answer = await sockswitch('explain', NAME, REMOTE.v4);
    expect(answer).toContain('would be switched');
    expect(answer).toContain('left alone: 3 connections of 2 namespaces so far');
    expect(await sockswitch('sockets', NAME)).toContain('No switched sockets');
    expect((await host1.run(['sockswitch', 'explain', 'default/web-0', REMOTE.v4])).status).toBe(1);
  });

  test('ambiguous', async () => {
    const other = await startContainer({ annotations: { ...ENABLED, ...NAMED } });
    const { stderr } = await host1.run(['sockswitch', 'explain', NAME, REMOTE.v4]);
    expect(stderr).toContain(`2 containers are called ${NAME}`);
    expect(stderr).toContain(other.id.slice(0, 12));
    expect(await sockswitch('explain', other.name, REMOTE.v4)).toContain('would be switched');
    await other.remove();
  });
});
