import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { PodmanNetworks, readNetworks } from '../../../src/podman/networks.js';
import { compilePolicy } from '../../../src/policy/compile.js';

const network = (...subnets: string[]) =>
  JSON.stringify({ name: 'x', subnets: subnets.map((subnet) => ({ subnet, gateway: 'y' })) });

function graphRoot(): { root: string; directory: string } {
  const root = mkdtempSync(join(tmpdir(), 'sockswitch-'));
  return { root, directory: join(root, 'networks') };
}

test('files that can be read, and the default network always', () => {
  const { directory } = graphRoot();
  expect(readNetworks(directory)).toEqual(['10.88.0.0/16']);
  mkdirSync(directory);
  writeFileSync(join(directory, 'a.json'), network('10.89.0.0/24', 'fd01::/64', 'rubbish'));
  writeFileSync(join(directory, 'b.json'), '{"subnets":');
  writeFileSync(join(directory, 'c.json'), '{"subnets":null}');
  writeFileSync(join(directory, 'd.txt'), network('10.90.0.0/24'));
  mkdirSync(join(directory, 'e.json'));
  expect(readNetworks(directory)).toEqual(['10.88.0.0/16', '10.89.0.0/24', 'fd01::/64']);
});

test('a new network is seen', async () => {
  const { root, directory } = graphRoot();
  const changed = vi.fn();
  const networks = new PodmanNetworks(root, changed);
  try {
    expect(networks.current).toEqual(['10.88.0.0/16']);
    mkdirSync(directory);
    networks.refresh();
    writeFileSync(join(directory, 'tmp'), network('10.89.0.0/24'));
    renameSync(join(directory, 'tmp'), join(directory, 'n.json'));
    await vi.waitFor(() => expect(networks.current).toContain('10.89.0.0/24'), 3000);
    rmSync(join(directory, 'n.json'));
    await vi.waitFor(() => expect(networks.current).toEqual(['10.88.0.0/16']), 3000);
    expect(changed).toHaveBeenCalled();
    const other = graphRoot();
    mkdirSync(other.directory);
    writeFileSync(join(other.directory, 'n.json'), network('10.91.0.0/24'));
    networks.setGraphRoot(other.root);
    expect(networks.current).toContain('10.91.0.0/24');
  } finally {
    networks.close();
  }
});

test('a policy is the sum of its sources', () => {
  expect(
    compilePolicy({
      config: { ignore: ['10.0.0.0/8'] },
      ignore: ['10.0.0.0/8', '::1/128'],
      podmanNetworks: ['10.88.0.0/16'],
      publish: [7],
      listenUnseen: false,
      hostNames: false,
      networkAdmin: false,
      ignoreFirewall: false,
      podsEgress: false,
      podsNetworks: [],
      optionsUnseen: false,
      socketLabel: '',
    }),
  ).toEqual({
    ignore: ['10.0.0.0/8', '::1/128'],
    podmanNetworks: ['10.88.0.0/16'],
    publish: [7],
    listenUnseen: false,
    hostNames: false,
    networkAdmin: false,
    ignoreFirewall: false,
    podsEgress: false,
    podsNetworks: [],
    optionsUnseen: false,
    socketLabel: '',
  });
});
