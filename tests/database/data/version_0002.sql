insert into outsider (lane, failures, open_until, error, since) values ('sms', 2, '2026-03-06T07:21:05.000000Z', 'no answer', '2026-03-06T07:20:05.000000Z');
