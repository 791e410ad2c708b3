/**
 * Before the first file: Kubernetes and the node's image (test/kubernetes/build, which keeps them), the lab, the image on its hosts, and the
 * registry on remote. Where they cannot be had, every test skips and says why; with CI=true that is a failure instead.
 */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import type { TestProject } from 'vitest/node';
import integrationSetup from '../../integration/support/global-setup.js';

declare module 'vitest' {
  export interface ProvidedContext {
    kubernetes: KubernetesContext;
  }
}

export interface KubernetesContext {
  /** The image of a node, on host1 and host2. */
  readonly image: string;
  /** Why there can be no cluster here; undefined when there can. */
  readonly unavailable: string | undefined;
}

const BUILD = fileURLToPath(new URL('../build', import.meta.url));
const LAB = fileURLToPath(new URL('../../lab/lab', import.meta.url));
const REGISTRY = '/run/kubernetes-registry.conf';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const end = await integrationSetup(project);
  let image = '';
  let unavailable: string | undefined;
  if (process.getuid?.() !== 0) {
    unavailable = 'the lab needs root';
  } else {
    const build = await execa(BUILD, {
      stdin: 'ignore',
      stderr: ['inherit', 'pipe'],
      reject: false,
    });
    if (build.exitCode === 0) {
      image = await importImage(build.stdout);
      await startRegistry();
    } else {
      unavailable = `Kubernetes cannot be built: ${build.stderr.split('\n').at(-1)}`;
      console.warn(`tests with Kubernetes are skipped: ${unavailable}`);
    }
  }
  if (unavailable !== undefined && process.env['CI'] === 'true') {
    await end();
    throw new Error(`tests with Kubernetes cannot run: ${unavailable}`);
  }
  project.provide('kubernetes', { image, unavailable });
  return end;
}

const labEnv = { LAB_NAME: process.env['LAB_NAME'] ?? 'test' };
const on = (host: string, ...words: string[]) => ['exec', host, '--', ...words];

/** Returns its name, which says which archive it is of. */
async function importImage(archive: string): Promise<string> {
  const image = `localhost/${basename(archive, '.tar')}`;
  for (const host of ['host1', 'host2']) {
    const there = on(host, 'podman', 'image', 'exists', image);
    if ((await execa(LAB, there, { env: labEnv, reject: false })).exitCode === 0) continue;
    await execa(LAB, on(host, 'podman', 'import', '--quiet', '-', image), {
      env: labEnv,
      input: createReadStream(archive),
    });
  }
  return image;
}

/** On remote, port 5000, with the images of registry/images. */
async function startRegistry(): Promise<void> {
  const root = (...words: string[]) => ['exec', '--root', 'remote', '--', ...words];
  const there = await execa(LAB, root('test', '-e', REGISTRY), { env: labEnv, reject: false });
  if (there.exitCode === 0) return;
  const fill = root(
    'sh',
    '-c',
    'mkdir -p /srv/registry && tar -C /srv/registry --no-same-owner -x',
  );
  await execa(LAB, on('host1', '/opt/sockswitch/test/kubernetes/registry/images'), {
    env: labEnv,
    buffer: false,
    stderr: 'inherit',
  }).pipe(LAB, fill, { env: labEnv });
  const configuration = await readFile(new URL('../registry/nginx.conf', import.meta.url));
  const start = root(
    'sh',
    '-c',
    `cat >${REGISTRY}.new; nginx -c ${REGISTRY}.new && mv ${REGISTRY}.new ${REGISTRY}`,
  );
  await execa(LAB, start, { env: labEnv, input: configuration });
}
