'use strict';
(function () {
  var data = JSON.parse(document.getElementById('data').textContent);
  var order = ['failed', 'breaking', 'security', 'unknown', 'interrupted', 'degraded', 'running', 'benign', 'new', 'reset', 'maintenance', 'removed', 'ready', 'clean'];
  var severities = ['breaking', 'security', 'degraded', 'benign'];
  var chosen = {}, byName = {}, from = null;
  function $(id) { return document.getElementById(id); }
  function make(tag, attributes, children) {
    var element = document.createElement(tag);
    Object.keys(attributes || {}).forEach(function (key) { element.setAttribute(key, attributes[key]); });
    [].concat(children === undefined ? [] : children).forEach(function (child) { element.append(child); });
    return element;
  }
  function count(state) { return data.hosts.filter(function (h) { return h.state === state; }).length; }
  function text(host) {
    return [host.name, host.rack, host.address, host.role, host.cluster, host.state,
      host.drift.map(function (f) { return f.text; }).join(' '), host.troubles.join(' ')].join(' ').toLowerCase();
  }
  data.hosts.forEach(function (host) { byName[host.name] = host; host.text = text(host); });

  function states() {
    order.filter(count).forEach(function (state) {
      var button = make('button', { type: 'button', 'aria-pressed': 'false', 'data-state': state }, state + ' ' + count(state));
      button.addEventListener('click', function () {
        chosen[state] = !chosen[state];
        button.setAttribute('aria-pressed', String(!!chosen[state]));
        filter();
      });
      $('states').append(button);
    });
  }
  function racks() {
    var groups = new Map();
    data.hosts.forEach(function (host) {
      if (!groups.has(host.rack)) groups.set(host.rack, []);
      groups.get(host.rack).push(host);
    });
    var all = document.createDocumentFragment();
    groups.forEach(function (hosts, name) {
      var list = make('ul');
      hosts.forEach(function (host) {
        var more = host.drift.length ? ' ' + host.drift.length : '';
        var link = make('a', { href: '#' + host.name, 'class': 's-' + host.state }, [
          make('span', {}, host.name), make('span', { 'class': 'word' }, host.state + more)]);
        host.item = make('li', {}, link);
        list.append(host.item);
      });
      var rack = make('div', { 'class': 'rack' }, [make('h2', {}, 'Rack ' + name), list]);
      hosts.forEach(function (host) { host.box = rack; });
      all.append(rack);
    });
    $('racks').append(all);
  }
  function filter() {
    var words = $('find').value.toLowerCase().split(/\s+/).filter(Boolean);
    var any = Object.keys(chosen).some(function (s) { return chosen[s]; });
    var shown = 0, boxes = new Map();
    data.hosts.forEach(function (host) {
      var good = (!any || !!chosen[host.state]) && words.every(function (w) { return host.text.indexOf(w) >= 0; });
      host.item.hidden = !good;
      shown += good;
      boxes.set(host.box, boxes.get(host.box) || good);
    });
    boxes.forEach(function (good, box) { box.hidden = !good; });
    $('shown').textContent = shown === data.hosts.length ? '' : shown + ' of ' + data.hosts.length + ' hosts';
  }
  function finding(f) {
    var parts = [make('div', {}, [make('span', { 'class': 'word' }, f.severity), ' ' + f.text]),
      make('div', { 'class': 'soft' }, f.owner + ', since ' + f.since + (f.note ? '; ' + f.note : '')),
      make('div', {}, ['next: ', make('code', {}, f.next)])];
    if (f.diff) parts.push(make('pre', { tabindex: '0' }, f.diff));
    return make('div', { 'class': 'finding s-' + f.severity }, parts);
  }
  function pairs(rows) {
    var list = make('dl');
    rows.forEach(function (row) { if (row[1]) list.append(make('dt', {}, row[0]), make('dd', {}, row[1])); });
    return list;
  }
  function show(host) {
    var close = make('button', { type: 'button', 'class': 'close' }, 'Close');
    close.addEventListener('click', leave);
    var parts = [close, make('h2', { 'class': 's-' + host.state }, [host.name + ' ', make('span', { 'class': 'word' }, host.state)]),
      pairs([['rack', host.rack], ['role', host.role.replace('_', ' ')], ['cluster', host.cluster], ['address', host.address],
        ['phase', host.phase], ['looked at', host.looked || 'never']])];
    host.troubles.forEach(function (t) { parts.push(make('p', { 'class': 'finding s-unknown' }, 'could not be asked: ' + t)); });
    if (host.cause) {
      parts.push(make('h3', {}, 'Likely cause'), make('p', {}, host.cause.what), make('p', { 'class': 'soft' }, host.cause.why),
        make('p', {}, ['next: ', make('code', {}, host.cause.next)]));
    }
    if (host.drift.length) parts.push(make('h3', {}, 'Drift'));
    host.drift.forEach(function (f) { parts.push(finding(f)); });
    var rows = make('ol');
    host.timeline.slice().reverse().forEach(function (row) {
      rows.append(make('li', { 'class': row[2] }, [make('span', { 'class': 'soft' }, row[0] + ' ' + row[1] + ' '),
        (row[2] === 'error' || row[2] === 'warning' ? row[2] + ': ' : '') + row[3]]));
    });
    parts.push(make('h3', {}, 'Timeline, newest first'), host.timeline.length ? rows : make('p', { 'class': 'soft' }, 'nothing yet'));
    $('host').replaceChildren.apply($('host'), parts);
    $('host').setAttribute('aria-label', 'Host ' + host.name);
    $('host').hidden = false;
    $('host').focus();
  }
  function leave() {
    history.pushState(null, '', location.pathname + location.search);
    route();
  }
  function route() {
    var host = byName[decodeURIComponent(location.hash.slice(1))];
    if (host) { from = host; show(host); return; }
    $('host').hidden = true;
    if (from) { from.item.firstChild.focus(); from = null; }
  }
  function clusters() {
    data.clusters.forEach(function (c) {
      $('clusters').append(make('h2', { 'class': 'cluster s-' + (c.state || 'unknown') }, [
        make('span', {}, 'Cluster ' + c.name), make('span', { 'class': 'word' }, c.state || 'unknown')]));
      c.troubles.forEach(function (t) { $('clusters').append(make('p', { 'class': 'soft' }, t)); });
      c.drift.forEach(function (f) { $('clusters').append(finding(f)); });
    });
  }
  function words(names, rows) {
    var body = make('tbody');
    rows.forEach(function (row) { body.append(make('tr', {}, row.map(function (cell) { return make('td', {}, cell); }))); });
    var head = make('tr', {}, names.map(function (name) { return make('th', { scope: 'col' }, name); }));
    return make('div', { 'class': 'wide' }, make('table', { 'class': 'words' }, [make('thead', {}, head), body]));
  }
  function state(name) { return make('span', { 'class': 'word s-' + name }, name === 'ready' ? 'proven' : 'none that is new'); }
  function upkeep() {
    var known = data.upkeep, seen = known.certificates, section = $('upkeep');
    known.rotations.forEach(function (line) { section.append(make('p', { 'class': 'finding s-running' }, line)); });
    known.causes.forEach(function (c) {
      section.append(make('div', { 'class': 'finding s-failed' }, [make('div', {}, c.cluster + ': ' + c.what),
        make('div', { 'class': 'soft' }, c.why), make('div', {}, ['next: ', make('code', {}, c.next)])]));
    });
    if (known.backups.length) {
      section.append(words(['cluster', 'backup', 'age', 'revision', 'kept', 'newest'], known.backups.map(function (b) {
        return [b.cluster, state(b.state), b.age, String(b.revision || ''), String(b.kept), b.name];
      })));
    } else section.append(make('p', { 'class': 'soft' }, 'dc.yml wants no backups'));
    if (!seen) {
      section.append(make('p', {}, ['Nobody looked at certificates yet. next: ', make('code', {}, 'bmk certs show ' + data.datacenter)]));
      return;
    }
    section.append(make('p', {}, 'Certificates: ' + Object.keys(seen.counts).map(function (s) { return seen.counts[s] + ' ' + s; }).join(', ') +
      '. As of ' + seen.at + '. These end first:'),
    words(['certificate', 'of', 'ends (UTC)'], seen.soonest.map(function (c) { return [c.kind, c.where, c.ends]; })));
    if (seen.wrong) section.append(make('p', {}, ['next: ', make('code', {}, seen.next)]));
  }
  function hardening() {
    var seen = data.hardening;
    if (!seen) return;
    var verbs = { fail: 'fail', unknown: 'unknown', waived: 'waived', na: 'do not apply', pass: 'hold' };
    var counts = Object.keys(verbs).filter(function (state) { return seen.counts[state]; });
    $('hardening').append(make('p', {}, counts.map(function (state) { return seen.counts[state] + ' ' + verbs[state]; }).join(', ') +
      '. As of ' + seen.at));
    if (seen.failing.length) {
      $('hardening').append(words(['control', 'severity', 'what should be', 'fails on'], seen.failing.map(function (f) {
        var where = f.where.slice(0, 8).join(', ') + (f.where.length > 8 ? ' and ' + (f.where.length - 8) + ' more' : '');
        return [f.control, f.severity, f.title, where];
      })),
        make('p', {}, ['next: ', make('code', {}, 'bmk hardening ' + data.datacenter)]));
    }
    $('hardening').hidden = false;
  }
  function trend() {
    if (!data.runs.length) { $('trend').append(make('p', { 'class': 'soft' }, 'no drift run yet: bmk drift ' + data.datacenter)); return; }
    var most = Math.max.apply(null, data.runs.map(function (r) { return severities.reduce(function (n, s) { return n + r[s]; }, 1); }));
    var body = make('tbody');
    data.runs.slice().reverse().forEach(function (run) {
      var bars = make('td', { 'class': 'bars' });
      severities.forEach(function (s) {
        if (run[s]) bars.append(make('span', { 'class': 'bar s-' + s, style: 'width:' + Math.max(4, 180 * run[s] / most) + 'px', title: run[s] + ' ' + s }));
      });
      body.append(make('tr', {}, [make('td', {}, run.at)].concat(severities.concat(['unknown', 'hosts']).map(function (s) {
        return make('td', {}, String(run[s])); }), [bars])));
    });
    var head = make('tr', {}, ['run'].concat(severities, ['unknown', 'hosts', '']).map(function (t) { return make('th', { scope: 'col' }, t); }));
    $('trend').append(make('table', {}, [make('thead', {}, head), body]));
  }
  $('sum').textContent = data.hosts.length + ' hosts, ' + order.filter(count).map(function (s) { return count(s) + ' ' + s; }).join(', ') +
    '. As of ' + data.at;
  states(); racks(); clusters(); upkeep(); hardening(); trend(); route();
  $('filters').addEventListener('submit', function (event) { event.preventDefault(); });
  $('find').addEventListener('input', filter);
  addEventListener('hashchange', route);
  addEventListener('popstate', route);
  addEventListener('keydown', function (event) { if (event.key === 'Escape' && !$('host').hidden) leave(); });
}());
