/** Where the matrix runs: the fallback networks and OCI runtimes, as docs/compatibility.md names them. */

/** `bridge` is a network made by `podman network create`, on which aardvark-dns resolves names. */
export const NETWORKS = ['pasta', 'slirp4netns', 'bridge'] as const;
export type Network = (typeof NETWORKS)[number];

export const RUNTIMES = ['crun', 'runc'] as const;
export type Runtime = (typeof RUNTIMES)[number];

/** A cell of the matrix. */
export interface Place {
  readonly network: Network;
  readonly runtime: Runtime;
}

export const MATRIX: readonly Place[] = NETWORKS.flatMap((network) =>
  RUNTIMES.map((runtime) => ({ network, runtime })),
);
