// Lists all users of a session with Zoom's official Node client, following the pages.
//
//   node rivet.mjs GATEWAY SESSION SPELLING PAGE_SIZE
//
// SPELLING is `default`, where Rivet percent-encodes the whole path twice (the API itself answers
// that with 404), or `raw`, its `doubleEncodeUrl: false`. Prints one user id a line.

import { VideoSdkClient } from "@zoom/rivet/videosdk";

const [gateway, session, spelling, pageSize] = process.argv.slice(2);
const spellings = { default: {}, raw: { doubleEncodeUrl: false } };
if (!pageSize || !(spelling in spellings)) {
  throw new Error("usage: rivet.mjs GATEWAY SESSION default|raw PAGE_SIZE");
}

// The key and the secret are not the account's: the gateway has those, and replaces what comes.
const client = new VideoSdkClient({
  clientId: "not-the-real-key",
  clientSecret: "not-the-real-secret",
  disableReceiver: true,
  baseUrl: `${gateway}/v2`,
  ...spellings[spelling],
});

let token = "";
do {
  const { data } = await client.endpoints.sessions.listSessionUsers({
    path: { sessionId: session },
    query: { type: "live", page_size: Number(pageSize), ...(token && { next_page_token: token }) },
  });
  if (!Array.isArray(data.users)) throw new Error(`no users in ${JSON.stringify(data).slice(0, 200)}`);
  for (const user of data.users) console.log(user.id);
  token = data.next_page_token;
} while (token);
