import { expect, test } from 'vitest';
import { idsOfKubernetesName, shownNames } from '../../../src/commands/container.js';
import { containerRow } from '../api/rows.js';

const NGINX = { namespace: 'default', pod: 'web', container: 'nginx' };
const rows = [
  containerRow({ id: 'a', kubernetes: NGINX }),
  containerRow({ id: 'b', kubernetes: { namespace: 'default', pod: 'web' } }),
  containerRow({ id: 'c' }),
  containerRow({ id: 'd' }),
];

test('what a container is called', () => {
  const podmans = new Map([
    ['a', 'as-podman-says'],
    ['c', 'db'],
  ]);
  expect(Object.fromEntries(shownNames(rows, podmans))).toEqual({
    a: 'default/web/nginx',
    b: 'default/web',
    c: 'db',
  });
});

test('which containers have a name of Kubernetes', () => {
  expect(idsOfKubernetesName(rows, 'default/web/nginx')).toEqual(['a']);
  expect(idsOfKubernetesName(rows, 'default/web')).toEqual(['b']);
  expect(idsOfKubernetesName(rows, 'web')).toEqual([]);
  const restarted = containerRow({ id: 'e', kubernetes: NGINX });
  expect(idsOfKubernetesName([...rows, restarted], 'default/web/nginx')).toEqual(['a', 'e']);
  expect(idsOfKubernetesName([...rows, ...rows], 'default/web'), 'one id twice').toEqual(['b']);
});
