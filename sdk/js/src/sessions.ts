import { query, type Http } from "./http";
import type { Json, Place, Session, SessionChange, SessionPage, Snapshot, VersionLine } from "./types";

/** Names for versions of one session. */
export interface Snapshots {
  list(page?: { limit?: number; cursor?: string }): Promise<{ snapshots: Snapshot[]; next_cursor: string | null }>;
  /** Of the version of now. */
  make(about?: { name?: string; tags?: string[] }): Promise<Snapshot>;
  read(snapshotId: string): Promise<Snapshot>;
  update(snapshotId: string, about: { name?: string; tags?: string[] }): Promise<Snapshot>;
}

/** `/api/sessions`: fields and answers are those of docs/api.md. */
export interface Sessions {
  list(page?: { limit?: number; cursor?: string }): Promise<SessionPage>;
  read(id: string): Promise<Session>;
  update(id: string, change: SessionChange): Promise<Session>;
  delete(id: string): Promise<void>;
  versions(id: string, page?: { limit?: number; before?: number }): Promise<{ versions: VersionLine[]; next: number | null }>;
  /** The session as it was; the place is a version's number or a snapshot's id. */
  version(id: string, place: number | string): Promise<Session>;
  diff(id: string, between: { from: number | string; to?: number | string }): Promise<Json>;
  restore(id: string, to: Place & { if_version?: number }): Promise<Session>;
  branch(id: string, from?: Place & { session_id?: string }): Promise<Session>;
  snapshots(id: string): Snapshots;
}

/** @internal */
export function sessions(http: Http, user?: string): Sessions {
  const call = (method: string, id = "", rest = "", fields: Json = {}, body?: unknown) =>
    http.json(method, "/api/sessions" + (id && "/" + encodeURIComponent(id)) + rest + query({ ...fields, user }), body);
  return {
    list: (page) => call("GET", "", "", page),
    read: (id) => call("GET", id),
    update: (id, change) => call("PATCH", id, "", {}, change),
    delete: (id) => call("DELETE", id),
    versions: (id, page) => call("GET", id, "/versions", page),
    version: (id, place) => call("GET", id, "/versions/" + encodeURIComponent(place)),
    diff: (id, between) => call("GET", id, "/diff", between),
    restore: (id, to) => call("POST", id, "/restore", {}, to),
    branch: (id, from = {}) => call("POST", id, "/branch", {}, from),
    snapshots: (id) => ({
      list: (page) => call("GET", id, "/snapshots", page),
      make: (about = {}) => call("POST", id, "/snapshots", {}, about),
      read: (snapshotId) => call("GET", id, "/snapshots/" + encodeURIComponent(snapshotId)),
      update: (snapshotId, about) => call("PATCH", id, "/snapshots/" + encodeURIComponent(snapshotId), {}, about),
    }),
  };
}
