/** Which tunnels of a container are carried: what its annotation and its published ports say. */
import type { Mapping, TunnelOptions } from '../../addon/addon.js';
import type { ContainerRequest } from '../../oci/annotations.js';

/** `ports`: UDP ports of the container's tunnel devices; `published`: what Podman publishes for it. Or why nothing is carried. */
export function tunnelOptions(
  request: Pick<ContainerRequest, 'publish' | 'tunnels'>,
  ports: ReadonlySet<number>,
  published: readonly Mapping[],
): TunnelOptions | string {
  const own = [...request.publish, ...published].filter(
    ({ protocol, containerPort }) => protocol === 'udp' && ports.has(containerPort),
  );
  switch (request.tunnels) {
    case 'none':
      return 'sockswitch/tunnels is false';
    case 'all':
      return { published: own };
    case 'published': {
      if (own.length === 0) {
        return `UDP port ${[...ports].join(', ')} is not published: publish it with -p or sockswitch/publish, or set sockswitch/tunnels`;
      }
      const carriedPorts = own.flatMap(({ hostPort, containerPort }) => [hostPort, containerPort]);
      return { ports: [...new Set(carriedPorts)], published: own };
    }
    default: {
      const wanted = request.tunnels;
      return {
        ports: wanted,
        published: own.filter(({ containerPort }) => wanted.includes(containerPort)),
      };
    }
  }
}
