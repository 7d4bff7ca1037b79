insert into awaited_name values ('H33020000001','bill','33060226-0000000009',99);
