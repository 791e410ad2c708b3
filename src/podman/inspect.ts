/** What `podman inspect` says of one container. */
import { isIP } from 'node:net';
import { execa } from 'execa';
import { z } from 'zod';
import type { Mapping } from '../addon/addon.js';

const PODMAN_TIMEOUT_MS = 20_000;
const NO_SUCH_CONTAINER = 125;
const THERE = new Set(['initialized', 'running', 'paused', 'stopping']);

export type Life = 'there' | 'gone' | 'unknown';

/** Whether a container exists for the runtime. Takes about 0.1 s. */
export async function lookForContainer(id: string): Promise<Life> {
  const { exitCode, stdout } = await execa(
    'podman',
    ['container', 'inspect', '--format', '{{.State.Status}}', id],
    { reject: false, stdin: 'ignore', timeout: PODMAN_TIMEOUT_MS },
  );
  if (exitCode === NO_SUCH_CONTAINER) return 'gone';
  if (exitCode !== 0) return 'unknown';
  return THERE.has(stdout.trim()) ? 'there' : 'gone';
}

const portBindings = z.record(
  z.string(),
  z.array(z.object({ HostIp: z.string(), HostPort: z.string() })).nullable(),
);

/** What Podman publishes for a container (`-p`), for the pod that it is in, or for the container whose network it shares. Rejects where Podman does not say. */
export async function publishedByPodman(id: string): Promise<Mapping[]> {
  const { stdout } = await execa(
    'podman',
    ['container', 'inspect', '--format', '{{json .NetworkSettings.Ports}}', id],
    { stdin: 'ignore', timeout: PODMAN_TIMEOUT_MS },
  );
  return parsePortBindings(stdout);
}

/** Of `{"8472/udp": [{"HostIp": "", "HostPort": "8472"}]}`; what is not understood is left out. */
export function parsePortBindings(json: string): Mapping[] {
  const bindings = portBindings.nullable().parse(JSON.parse(json)) ?? {};
  return Object.entries(bindings).flatMap(([key, hosts]) => {
    const [port, protocol] = key.split('/');
    if (protocol !== 'udp' && protocol !== 'tcp') return [];
    return (hosts ?? []).flatMap(({ HostIp, HostPort }) => {
      const anywhere = HostIp === '' || HostIp === '0.0.0.0' || HostIp === '::';
      if (!anywhere && isIP(HostIp) === 0) return [];
      return [
        {
          protocol,
          ...(anywhere ? {} : { hostAddress: HostIp }),
          hostPort: Number(HostPort),
          containerPort: Number(port),
        },
      ];
    });
  });
}
