-- Version 8 brought what-ifs and what is decided again in bulk, invented like the rest.
insert into what_if (id, product, body, changes, by_account, by_name, asked_at, state, step, done, total) values ('whatif_0000000000000001', 'hospital-expense-2020', 'id = "hospital-expense-2020"', '[]', 'account_0000000000000001', '郑𠮷', '2026-03-09T00:30:00.000000Z', 'waiting', '', 0, 0);
