// A small web program for fetch events, as browsers' service workers have them.
addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

let count = 0;

async function answer(request) {
  count++;
  const url = new URL(request.url);
  switch (url.pathname) {
    case '/echo':
      return new Response(await request.arrayBuffer(), { headers: { 'content-type': request.headers.get('content-type') ?? 'text/plain' } });
    case '/json':
      return Response.json({ method: request.method, path: url.pathname, query: url.search, count });
    case '/slow':
      return new Response(lines(3, 20), { headers: { 'content-type': 'text/plain' } });
    case '/spin':
      for (;;);
    case '/log':
      console.log('a line from JavaScript');
      return new Response('logged\n');
    case '/throw':
      throw new Error('thrown on purpose');
  }
  return new Response(`Hello from JavaScript, ${request.method} ${url.pathname}\n`, { headers: { 'content-type': 'text/plain' } });
}

// lines is a stream of n lines, one every few milliseconds.
function lines(n, wait) {
  let i = 0;
  return new ReadableStream({
    async pull(controller) {
      if (i === n) return controller.close();
      if (i > 0) await new Promise((resolve) => setTimeout(resolve, wait));
      controller.enqueue(new TextEncoder().encode(`line ${i++}\n`));
    },
  });
}
