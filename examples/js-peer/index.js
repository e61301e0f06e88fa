// A peer in JavaScript: it holds no cluster key, dials an agent through libp2p, and speaks the HTTP API on a stream.
//
//   npm ci && node index.js /ip4/127.0.0.1/tcp/4001/p2p/12D3…      (debros peer-id shows the address)
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

// Node 20 lacks what libp2p 3 uses.
Promise.withResolvers ??= () => {
  const out = {}
  out.promise = new Promise((resolve, reject) => Object.assign(out, { resolve, reject }))
  return out
}

const protocol = '/debros/http/1.0.0'

// request sends one HTTP request on a stream of its own and gives the status and the body.
async function request (node, agent, method, path, body = '') {
  const stream = await node.dialProtocol(agent, protocol, { signal: AbortSignal.timeout(10_000) })
  const data = new TextEncoder().encode(body)
  const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${data.length}\r\n\r\n`
  stream.send(new Uint8Array([...new TextEncoder().encode(head), ...data]))
  const chunks = []
  for await (const chunk of stream) { // to its end: the agent closes after the answer
    chunks.push(chunk.subarray())
  }
  const text = Buffer.concat(chunks).toString()
  const [header, ...rest] = text.split('\r\n\r\n')
  return { status: Number(header.split(' ')[1]), body: rest.join('\r\n\r\n') }
}

const address = process.argv[2]
if (address === undefined) {
  console.error('usage: node index.js /ip4/<ip>/tcp/4001/p2p/<id>')
  process.exit(2)
}
const node = await createLibp2p({ transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()] })
try {
  const agent = multiaddr(address)
  const put = await request(node, agent, 'PUT', '/v1/kv/from-js', `hello from ${node.peerId}`)
  if (put.status !== 200) {
    throw new Error(`put: ${put.status} ${put.body}`)
  }
  const got = await request(node, agent, 'GET', '/v1/kv/from-js?raw')
  if (got.status !== 200) {
    throw new Error(`get: ${got.status} ${got.body}`)
  }
  console.log(got.body)
} finally {
  await node.stop()
}
