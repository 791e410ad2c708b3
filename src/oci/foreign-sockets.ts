/**
 * Whether a container may come by sockets that its own processes have not made.
 *
 * What a socket's rarely set options are is known from reports of the container's own filter (seccomp-setsockopt.ts). A process
 * outside can make a socket in the container's network namespace, set such an option, and pass the socket on (SCM_RIGHTS in unix(7),
 * pidfd_getfd(2)). For that the two need a Unix socket that both reach, or to see each other's processes. No fact of a
 * socket says who made it, and no call of the container need be reported when it gets one. So the spec decides.
 */
export interface SpecSurroundings {
  readonly mounts?:
    | readonly {
        readonly type?: string | null | undefined;
        readonly source?: string | null | undefined;
        readonly options?: readonly string[] | null | undefined;
      }[]
    | null
    | undefined;
  readonly namespaces?:
    | readonly { readonly type: string; readonly path?: string | null | undefined }[]
    | null
    | undefined;
}

/** `id`: the container's; `isFile`: whether a path of the host is a regular file. */
export function mayGetForeignSockets(
  { mounts, namespaces }: SpecSurroundings,
  id: string | undefined,
  isFile: (path: string) => boolean,
): boolean {
  const namespace = (type: string) => namespaces?.find((one) => one.type === type);
  // Podman makes a network namespace under a name of its own, and joins another container's by its process.
  if (namespace('network')?.path?.startsWith('/proc/') === true) return true;
  const pid = namespace('pid');
  if (pid === undefined || (pid.path ?? '') !== '') return true;
  return (mounts ?? []).some(({ type, source, options }) => {
    const bound = type === 'bind' || options?.some((option) => /^r?bind$/.test(option)) === true;
    if (!bound || source === undefined || source === null) return false;
    const own = id !== undefined && source.includes(`/${id}/userdata/`);
    return !own && !isFile(source);
  });
}
