// Azurite in memory, with one container that everybody may list, for tests/harness/stores.rs.
//
// Usage: serve.js PORT CONTAINER   (NODE_PATH names the installed modules)
//
// Azurite makes no containers by itself and takes signed requests only, so the container is made here, signed with the
// account that every Azurite has (it is printed in Azure's documentation).
'use strict';

const { createHmac } = require('node:crypto');
const http = require('node:http');

const [port, container] = process.argv.slice(2);
const ACCOUNT = 'devstoreaccount1';
const KEY = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

/** Makes the container; calls back with the status, or with nothing while nobody listens. */
function make(done) {
  const headers = {
    'x-ms-blob-public-access': 'container',
    'x-ms-date': new Date().toUTCString(),
    'x-ms-version': '2021-12-02',
  };
  const named = Object.keys(headers).sort().map((name) => `${name}:${headers[name]}\n`).join('');
  const toSign = `PUT${'\n'.repeat(12)}${named}/${ACCOUNT}/${ACCOUNT}/${container}\nrestype:container`;
  const signature = createHmac('sha256', Buffer.from(KEY, 'base64')).update(toSign, 'utf8').digest('base64');
  const options = {
    host: '127.0.0.1',
    port,
    method: 'PUT',
    path: `/${ACCOUNT}/${container}?restype=container`,
    headers: { ...headers, 'content-length': 0, authorization: `SharedKey ${ACCOUNT}:${signature}` },
  };
  const request = http.request(options, (answer) => {
    answer.resume();
    answer.on('end', () => done(answer.statusCode));
  });
  request.on('error', () => done());
  request.end();
}

function makeUntilMade() {
  make((status) => {
    if (status === undefined) {
      setTimeout(makeUntilMade, 100);
    } else if (status !== 201) {
      console.error(`the container could not be made: ${status}`);
      process.exit(1);
    }
  });
}

process.argv = [process.argv[0], 'azurite-blob', '--blobHost', '127.0.0.1', '--blobPort', port, '--inMemoryPersistence',
  '--silent', '--skipApiVersionCheck', '--disableTelemetry'];
require('azurite/dist/src/blob/main.js');
makeUntilMade();
