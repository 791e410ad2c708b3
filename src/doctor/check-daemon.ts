/** The daemon that runs, if one does. */
import type { Addon } from '../addon/addon.js';
import { ControlClient, NoDaemonError } from '../api/client.js';
import { messageOf } from '../base/errors.js';
import type { RuntimePaths } from '../base/paths.js';
import { version } from '../base/version.js';
import { LIST_SERVICES, unlistedService } from '../policy/unlisted-service.js';
import { type Finding, note, ok, problem, warning } from './finding.js';

const SHORT_ID = 12;
/** Of one container; "sockswitch ps --no-trunc" has them all. */
const TUNNEL_REASONS = 3;

export async function checkDaemon(runtime: RuntimePaths): Promise<Finding[]> {
  try {
    const client = new ControlClient(runtime.controlSocket);
    const status = await client.status();
    const { containers } = await client.containers();
    return [
      status.version === version()
        ? ok('daemon', `the daemon runs (pid ${status.pid}, version ${status.version})`)
        : warning(
            'daemon',
            `the daemon is of version ${status.version}, this command of ${version()}`,
            'restart the daemon: containers and connections stay',
          ),
      status.keeper.connected
        ? ok('keeper', 'the keeper is connected')
        : problem('keeper', 'the keeper is not connected', 'see the daemon’s log'),
      ...(status.unaccelerated === undefined
        ? []
        : [
            problem(
              'daemon.guard',
              'the daemon accelerates nothing: it could guard no sockets when it started',
              'restart it once sockets can be guarded: containers and connections stay',
            ),
          ]),
      status.hostNames === undefined
        ? ok('daemon.names', 'services see the true addresses of clients inside and of neighbours')
        : note('daemon.names', status.hostNames),
      ...(containers.length === 0
        ? []
        : [
            note(
              'containers.seccomp',
              'in accelerated containers the kernel takes no second seccomp listener (EBUSY), and tracers that use SECCOMP_RET_TRACE (strace --seccomp-bpf, proot, rr) do not see the calls that are reported to sockswitch; that cannot be helped (docs/compatibility.md)',
            ),
          ]),
      ...containers.flatMap(({ id, tunnels }) =>
        (tunnels?.reasons ?? [])
          .slice(0, TUNNEL_REASONS)
          .map((reason) =>
            note(
              'container.tunnels',
              `a tunnel of container ${id.slice(0, SHORT_ID)} is on the fallback network: ${reason}`,
            ),
          ),
      ),
      ...containers.flatMap(({ id, obstacle }) =>
        obstacle === undefined
          ? []
          : [
              note(
                'container.network',
                `container ${id.slice(0, SHORT_ID)} asks for acceleration and gets none: ${obstacle}`,
              ),
            ],
      ),
      ...containers.flatMap(({ id, unlistedService: address }) =>
        address === undefined
          ? []
          : [
              warning(
                'container.services',
                `container ${id.slice(0, SHORT_ID)}: ${unlistedService(address)}`,
                LIST_SERVICES,
              ),
            ],
      ),
    ];
  } catch (error) {
    const remedy =
      error instanceof NoDaemonError
        ? 'start it with "systemctl --user start sockswitch" or "sockswitch daemon"'
        : 'restart it, and see its log';
    return [problem('daemon', messageOf(error).split(':')[0] ?? 'no daemon', remedy)];
  }
}

/** Where tunnels usually are: flannel's and the kernel's own VXLAN, Calico's, Geneve. */
const TUNNEL_PORTS = [8472, 4789, 6081];

/** Whether the daemon may listen for tunnels' peers, also before a container runs that publishes such a port. */
export async function checkTunnelPorts(
  addon: Pick<Addon, 'portHolders'>,
  runtime: RuntimePaths,
): Promise<Finding> {
  return judgeTunnelPorts(addon, await servedPorts(runtime));
}

/** `served`: by the daemon itself. */
export function judgeTunnelPorts(
  { portHolders }: Pick<Addon, 'portHolders'>,
  served: ReadonlySet<number>,
): Finding {
  const id = 'tunnels.ports';
  const taken = TUNNEL_PORTS.filter(
    (port) => !served.has(port) && portHolders('tcp', port).length > 0,
  );
  return taken.length === 0
    ? ok(id, `TCP ports ${TUNNEL_PORTS.join(', ')} are free for tunnels`)
    : note(
        id,
        `TCP port ${taken.join(', ')} is taken, by another program or by another user's daemon: a container that publishes a tunnel there carries what it sends, and receives over the fallback network`,
      );
}

async function servedPorts(runtime: RuntimePaths): Promise<ReadonlySet<number>> {
  try {
    const { tunnels } = await new ControlClient(runtime.controlSocket).tunnels();
    const listening = tunnels.flatMap((tunnel) => tunnel.listening);
    return new Set(
      listening.filter(({ problem }) => problem === '').map(({ hostPort }) => hostPort),
    );
  } catch {
    return new Set(); // no daemon: `checkDaemon` says so
  }
}
